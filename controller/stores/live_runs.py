"""Live runs in the control database, in as few columns as will do: these are read again and again."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select

from controller.runs.machine import USING_EDGE
from controller.runs.overlap import Rival
from controller.runs.steps import Run
from controller.stores.runs import to_run
from controller.stores.tables import RunRow
from schemas.manifest import WantedRun
from schemas.names import BlobRef
from schemas.runs import LIVE, RunState

_AT_ONCE = 500  # ids in one statement; databases have limits


def live_revisions(session: Session) -> dict[UUID, int]:
    """Every live run's revision: what has changed since somebody looked."""
    return dict(session.exec(select(RunRow.id, RunRow.revision).where(col(RunRow.state).in_(LIVE))).all())


def load_runs(session: Session, *, ids: Sequence[UUID]) -> list[Run]:
    """These runs, as far as they are there."""
    found = []
    for start in range(0, len(ids), _AT_ONCE):
        wanted = select(RunRow).where(col(RunRow.id).in_(ids[start : start + _AT_ONCE]))
        found += [to_run(row) for row in session.exec(wanted)]
    return found


def rivals(session: Session, *, run: Run, now: datetime) -> list[Rival]:
    """The other live runs of a run's job whose time has come."""
    job = select(RunRow.job).where(RunRow.id == run.id).scalar_subquery()  # it may just have been renamed
    columns = select(RunRow.id, RunRow.scheduled_at, RunRow.admitted, RunRow.not_before)
    others = columns.where(RunRow.job == job, col(RunRow.state).in_(LIVE), RunRow.id != run.id)
    return [
        Rival(run_id, scheduled_at, admitted)
        for run_id, scheduled_at, admitted, not_before in session.exec(others)
        if admitted or not_before is None or not_before <= now
    ]


def tasks_on_edges(session: Session) -> list[tuple[str, str]]:
    """(edge, job) of each attempt that uses an edge now."""
    wanted = select(RunRow.edge, RunRow.job).where(col(RunRow.state).in_(USING_EDGE))
    return [(edge, job) for edge, job in session.exec(wanted)]


def wanted_runs(session: Session, *, edge: str) -> tuple[WantedRun, ...]:
    """What an edge's manifest says of runs, oldest first.

    Only an attempt that its edge has not accepted yet may be started: a disk that was lost must not do the rest of it
    a second time. A queued run's attempt is asked for as long as it may go on there.
    """
    over = (col(RunRow.state) == RunState.QUEUED) & col(RunRow.exited).is_not(None)
    given = (
        select_columns(col(RunRow.id), col(RunRow.attempt), col(RunRow.task), col(RunRow.secrets), col(RunRow.state))
        .where(col(RunRow.edge) == edge, col(RunRow.state).in_(LIVE), col(RunRow.attempt) > 0, ~over)
        .order_by(col(RunRow.created_at), col(RunRow.id))
    )
    return tuple(
        WantedRun(
            run_id=run_id,
            attempt=attempt,
            spec=BlobRef.model_validate_json(task or ""),
            secrets=BlobRef.model_validate_json(secrets) if secrets else None,
            resume=state != RunState.DISPATCHED,
        )
        for run_id, attempt, task, secrets, state in session.connection().execute(given)
    )
