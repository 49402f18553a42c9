"""Runs in the control database: made once per tick, moved by compare-and-set."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID, uuid4

from pydantic import TypeAdapter
from sqlalchemy import delete, func, update
from sqlmodel import Session, col, select

from controller.runs.deadlines import first_deadline
from controller.runs.steps import Run
from controller.stores.tables import RunRow, WatermarkRow
from schemas.errors import Conflict, NotFound
from schemas.jobs import JobSpec
from schemas.models import DataSelection
from schemas.names import BlobRef
from schemas.runs import LIVE, Exited, RunState, RunTrigger, Started, Usage

_TRIGGER: TypeAdapter[RunTrigger] = TypeAdapter(RunTrigger)
_SELECTIONS = TypeAdapter(tuple[DataSelection, ...])
SKIPPED_KEPT = 100
"""How many skipped runs are remembered for each job."""


def queue_run(  # noqa: PLR0913 - each is a fact of the run that nothing else tells
    session: Session,
    *,
    job: JobSpec,
    trigger: RunTrigger,
    scheduled_at: datetime,
    now: datetime,
    cause: str = "",
    full: bool = False,
    replays: UUID | None = None,
    not_before: datetime | None = None,
) -> RunRow | None:
    """Record that a job is due; None when this tick was recorded before. Caller commits.

    Args:
        session: of the control database.
        job: the job as it is now; the run keeps it so.
        trigger: what queued it.
        scheduled_at: its tick; a job has one run for each.
        now: the time.
        cause: the line that tells people why it was queued.
        full: take all rows, also for queries that ask for new ones only.
        replays: the run whose frozen data it trains on again.
        not_before: when it may start, if later than now.
    """
    tick = select(RunRow).where(RunRow.job == job.name, RunRow.scheduled_at == scheduled_at)
    if session.exec(tick).first() is not None:
        return None
    row = RunRow(
        id=uuid4(),
        job=job.name,
        spec=job.model_dump_json(),
        trigger=trigger,
        cause=cause,
        full=full,
        replays=replays,
        priority=job.priority,
        not_before=not_before,
        scheduled_at=scheduled_at,
        created_at=now,
        state=RunState.QUEUED,
        reason=f"starts at {not_before:%Y-%m-%d %H:%M:%S} UTC" if not_before else "its data is about to be selected",
        deadline=first_deadline(job, not_before or now),
        edge=job.edge or "",
        model=job.model,
    )
    session.add(row)
    return row


def _forget_old_refusals(session: Session, *, run_id: UUID) -> None:
    """Keep the job's newest skipped runs only: a short timer over a quiet collection makes thousands a day."""
    job = select(RunRow.job).where(RunRow.id == run_id).scalar_subquery()  # by its present name
    skipped = select(RunRow.id).where(RunRow.job == job, RunRow.state == RunState.SKIPPED)
    old = skipped.order_by(col(RunRow.created_at).desc()).offset(SKIPPED_KEPT)
    session.connection().execute(delete(RunRow).where(col(RunRow.id).in_(old)))


def load_run(session: Session, *, run_id: UUID) -> Run:
    """The run as the state machine sees it. Raises NotFound."""
    return to_run(get_row(session, run_id=run_id))


def get_row(session: Session, *, run_id: UUID) -> RunRow:
    """The run's row. Raises NotFound."""
    row = session.get(RunRow, run_id)
    if row is None:
        raise NotFound(f"there is no run {run_id}")
    return row


def save_step(session: Session, *, before: Run, after: Run) -> None:
    """Write ``after`` if the row still holds ``before``, else raise Conflict. Caller commits."""
    unmoved = col(RunRow.id) == before.id, col(RunRow.revision) == before.revision
    usage = after.exited.usage if after.exited is not None and before.exited is None else Usage()
    values = {
        "revision": before.revision + 1,
        "state": after.state,
        "edge": after.edge,
        "admitted": after.admitted,
        "not_before": after.not_before,
        "reason": after.reason,
        "deadline": after.deadline,
        "attempt": after.attempt,
        "last_sequence": after.last_sequence,
        "data": _SELECTIONS.dump_json(after.data).decode(),
        "holdout": after.holdout and after.holdout.model_dump_json(),
        "task": after.task and after.task.model_dump_json(),
        "secrets": after.secrets and after.secrets.model_dump_json(),
        "base_version": after.base_version,
        "base_model": after.base_model,
        "started": after.started and after.started.model_dump_json(),
        "started_at": after.started_at,
        "exited": after.exited and after.exited.model_dump_json(),
        "ended_at": after.ended_at,
        "model": after.model,
        "version": after.version,
        "cpu_s": RunRow.cpu_s + (usage.cpu_s or 0.0),  # every attempt's, each ending once
        "energy_kwh": RunRow.energy_kwh + (usage.energy_kwh or 0.0),
        "co2e_kg": RunRow.co2e_kg + (usage.co2e_kg or 0.0),
        "fetched_bytes": RunRow.fetched_bytes + usage.fetched_bytes,
        "cached_bytes": RunRow.cached_bytes + usage.cached_bytes,
    }
    if session.connection().execute(update(RunRow).where(*unmoved).values(values)).rowcount != 1:
        raise Conflict(f"run {before.id} is no longer at step {before.revision}")
    if after.state is RunState.SKIPPED:
        _forget_old_refusals(session, run_id=after.id)


def live_runs(session: Session, *, job: str | None = None, edge: str | None = None) -> list[Run]:
    """Runs that still go on, oldest first."""
    wanted = select(RunRow).where(col(RunRow.state).in_(LIVE)).order_by(col(RunRow.created_at), col(RunRow.id))
    if job is not None:
        wanted = wanted.where(RunRow.job == job)
    if edge is not None:
        wanted = wanted.where(RunRow.edge == edge)
    return [to_run(row) for row in session.exec(wanted)]


def list_rows(
    session: Session, *, job: str | None, state: RunState | None, before: str | None, limit: int
) -> list[RunRow]:
    """Runs, newest first, starting after the run whose id is ``before``."""
    wanted = select(RunRow).order_by(col(RunRow.created_at).desc(), col(RunRow.id).desc()).limit(limit)
    if job is not None:
        wanted = wanted.where(RunRow.job == job)
    if state is not None:
        wanted = wanted.where(RunRow.state == state)
    if before is not None:
        last = get_row(session, run_id=UUID(before))
        older = col(RunRow.created_at) < last.created_at
        wanted = wanted.where(older | ((col(RunRow.created_at) == last.created_at) & (col(RunRow.id) < last.id)))
    return list(session.exec(wanted))


def count_by_state(session: Session) -> dict[str, int]:
    """How many runs there are in each state."""
    rows = session.exec(select(RunRow.state, func.count()).group_by(col(RunRow.state)))
    return {state: count for state, count in rows}  # noqa: C416 - rows are not pairs to dict()


def last_row(session: Session, *, job: str) -> RunRow | None:
    """The job's newest run, refused ones included."""
    return session.exec(
        select(RunRow).where(RunRow.job == job).order_by(col(RunRow.created_at).desc()).limit(1)
    ).first()


def watermarks(session: Session, *, job: str) -> dict[int, dict[str, int]]:
    """Per query, by its 1-based index, and collection: the position up to which the job was trained."""
    found: dict[int, dict[str, int]] = {}
    for row in session.exec(select(WatermarkRow).where(WatermarkRow.job == job)):
        found.setdefault(row.query, {})[row.collection] = row.position
    return found


def move_watermarks(session: Session, *, job: str, data: Iterable[DataSelection]) -> None:
    """Note that a registered model has been trained on these rows. Caller commits."""
    for index, selection in enumerate(data, start=1):
        for name in selection.new_in:
            row = session.get(WatermarkRow, (job, index, name))
            if row is None:
                row = WatermarkRow(job=job, query=index, collection=name, position=0)
            row.position = max(row.position, selection.windows[name].upto)
            session.add(row)


def to_run(row: RunRow) -> Run:
    """The run as the state machine sees it."""
    return Run(
        id=row.id,
        job=JobSpec.model_validate_json(row.spec),
        trigger=_TRIGGER.validate_python(row.trigger),
        full=row.full,
        replays=row.replays,
        priority=row.priority,
        scheduled_at=row.scheduled_at,
        created_at=row.created_at,
        state=RunState(row.state),
        edge=row.edge,
        revision=row.revision,
        admitted=row.admitted,
        not_before=row.not_before,
        reason=row.reason,
        deadline=row.deadline,
        attempt=row.attempt,
        last_sequence=row.last_sequence,
        data=_SELECTIONS.validate_json(row.data),
        holdout=DataSelection.model_validate_json(row.holdout) if row.holdout else None,
        task=BlobRef.model_validate_json(row.task) if row.task else None,
        secrets=BlobRef.model_validate_json(row.secrets) if row.secrets else None,
        base_version=row.base_version,
        base_model=row.base_model,
        started=Started.model_validate_json(row.started) if row.started else None,
        started_at=row.started_at,
        exited=Exited.model_validate_json(row.exited) if row.exited else None,
        ended_at=row.ended_at,
        model=row.model,
        version=row.version,
    )
