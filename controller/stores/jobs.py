"""Jobs in the control database, and the cursor of their schedules."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from controller.runs.machine import advance
from controller.runs.misfires import Firing, Missed, firing
from controller.runs.steps import Refused
from controller.schedule import next_fire, not_before
from controller.stores.runs import load_run, queue_run, save_step
from controller.stores.tables import JobRow, RunRow, TriggerRow
from controller.stores.triggers import save_triggers
from schemas.errors import NotFound
from schemas.jobs import JobSpec
from schemas.schedules import Schedule

JOBS_AT_ONCE = 100
"""No more jobs are fired in one transaction, so that others can write in between."""


@dataclass(frozen=True, slots=True)
class Fired:
    """What became of a job's ticks that had come."""

    job: str
    runs: tuple[RunRow, ...]  # queued, oldest tick first
    missed: Missed | None  # let go


def get_job(session: Session, *, name: str) -> tuple[JobRow, JobSpec]:
    """A job's row and what it says. Raises NotFound."""
    row = session.get(JobRow, name)
    if row is None:
        raise NotFound(f"there is no job {name!r}")
    return row, JobSpec.model_validate_json(row.spec)


def list_jobs(session: Session) -> list[tuple[JobRow, JobSpec]]:
    """Every job, by name."""
    rows = session.exec(select(JobRow).order_by(JobRow.name))
    return [(row, JobSpec.model_validate_json(row.spec)) for row in rows]


def list_names(session: Session, *, after: str, limit: int) -> list[str]:
    """Up to ``limit`` names of jobs, in order, behind one."""
    return list(session.exec(select(JobRow.name).where(JobRow.name > after).order_by(JobRow.name).limit(limit)))


def save_job(session: Session, *, spec: JobSpec, now: datetime) -> None:
    """Make or change a job; neither fires it, and only a change of its ticks or of ``paused`` moves its next time.

    That is then computed from now on: what would have been due while it was paused, or by the old schedule, is over.
    Caller commits.
    """
    row = session.get(JobRow, spec.name)
    if row is None:
        row = JobRow(name=spec.name, spec="", created_at=now, anchor_at=now)
        before = None
    else:
        before = JobSpec.model_validate_json(row.spec)
    row.spec = spec.model_dump_json()
    if before is not None and _period(before.schedule) != _period(spec.schedule):
        row.anchor_at = now
    if before is None or _ticks(before) != _ticks(spec):
        row.next_fire_at = _next(row, spec, now)
    session.add(row)
    save_triggers(session, spec=spec, before=before, now=now)


def fire_due(session: Session, *, now: datetime) -> list[Fired]:
    """Queue the runs of the ticks that have come, and move the cursors behind them. Caller commits.

    Run and cursor are one transaction, and a run is unique by its tick: no crash loses a tick or fires it twice. At
    most ``JOBS_AT_ONCE`` jobs are looked at, those first that have waited longest.
    """
    wanted = select(JobRow).where(col(JobRow.next_fire_at) <= now)
    rows = session.exec(wanted.order_by(col(JobRow.next_fire_at)).limit(JOBS_AT_ONCE)).all()
    with session.no_autoflush:  # all runs are inserted at once: one by one, a thousand ticks took a second longer
        return [fired for row in rows for fired in _fire(session, row, now)]


def next_due(session: Session) -> datetime | None:
    """The earliest time at which any job is due."""
    wanted = select(JobRow.next_fire_at).where(col(JobRow.next_fire_at).is_not(None))
    return session.exec(wanted.order_by(col(JobRow.next_fire_at)).limit(1)).first()


def ahead_of_clock(session: Session, *, now: datetime) -> list[str]:
    """The jobs that wait for a time later than their next one: the machine's clock was wrongly ahead, and set back.

    Reads every job.
    """
    looks: dict[str, list[TriggerRow]] = {}
    for look in session.exec(select(TriggerRow).where(col(TriggerRow.next_look_at) > now)):
        looks.setdefault(look.job, []).append(look)
    return [row.name for row, spec in list_jobs(session) if _is_ahead(row, spec, looks.get(row.name, ()), now)]


def set_back(session: Session, *, jobs: Iterable[str], now: datetime) -> None:
    """Let these jobs be due by the clock as it is now. Caller commits.

    What was fired under the wrong clock is not fired again: a run is unique by its tick.
    """
    for name in jobs:
        row = session.get(JobRow, name)
        if row is None:
            continue
        spec = JobSpec.model_validate_json(row.spec)
        looks = session.exec(select(TriggerRow).where(TriggerRow.job == name)).all()
        if not _is_ahead(row, spec, looks, now):  # it was edited meanwhile
            continue
        row.next_fire_at = _next(row, spec, now)
        session.add(row)
        for look in looks:
            if look.next_look_at is not None:
                look.next_look_at = min(look.next_look_at, _latest_look(spec, now))
                session.add(look)


def _is_ahead(row: JobRow, spec: JobSpec, looks: Iterable[TriggerRow], now: datetime) -> bool:
    due = _next(row, spec, now)
    if due is not None and (row.next_fire_at is None or due < row.next_fire_at):
        return True
    return any(look.next_look_at is not None and look.next_look_at > _latest_look(spec, now) for look in looks)


def _latest_look(spec: JobSpec, now: datetime) -> datetime:
    return now + timedelta(seconds=max((trigger.every for trigger in spec.triggers), default=0.0))


def _fire(session: Session, row: JobRow, now: datetime) -> Iterable[Fired]:
    spec, cursor = JobSpec.model_validate_json(row.spec), row.next_fire_at
    session.add(row)
    if spec.schedule is None or spec.paused or cursor is None:
        row.next_fire_at = None
        return
    plan = firing(spec.schedule, spec.misfire, anchor=row.anchor_at, cursor=cursor, now=now)
    row.next_fire_at = plan.next
    if plan.missed is not None and not _made_up_for(plan, spec):
        _record(session, spec, plan.missed, now)
    runs = []
    for tick in plan.ticks:
        run = queue_run(
            session,
            job=spec,
            trigger="schedule",
            scheduled_at=tick,
            now=now,
            cause=_cause(plan, spec, tick),
            not_before=not_before(row.name, spec.schedule, anchor=row.anchor_at, tick=tick),
        )
        runs += [run] if run is not None else []
    yield Fired(row.name, tuple(runs), plan.missed)


def _made_up_for(plan: Firing, spec: JobSpec) -> bool:
    return spec.misfire.policy == "run_once" and bool(plan.ticks)


def _cause(plan: Firing, spec: JobSpec, tick: datetime) -> str:
    if plan.missed is not None and _made_up_for(plan, spec) and tick == plan.ticks[0]:
        return f"its schedule; this run stands for others too: {plan.missed}"
    return "its schedule"


def _record(session: Session, spec: JobSpec, missed: Missed, now: datetime) -> None:
    """One skipped run for all ticks let go: who asks why it did not run finds the answer among the runs."""
    run = queue_run(session, job=spec, trigger="schedule", scheduled_at=missed.newest, now=now, cause="its schedule")
    if run is None:
        return
    session.flush()
    before = load_run(session, run_id=run.id)
    reason = f"{missed}: nobody could fire in time, and the job's misfire policy is {spec.misfire.policy}"
    save_step(session, before=before, after=advance(before, Refused(reason), now))
    session.expire(run)


def _next(row: JobRow, spec: JobSpec, after: datetime) -> datetime | None:
    if spec.schedule is None or spec.paused:
        return None
    return next_fire(spec.schedule, anchor=row.anchor_at, after=after)


def _period(schedule: Schedule | None) -> float | None:
    return schedule.every if schedule is not None else None


def _ticks(spec: JobSpec) -> tuple[bool, Schedule | None]:
    """What decides when a job is due; a jitter does not, it delays what was due."""
    return spec.paused, spec.schedule and spec.schedule.model_copy(update={"jitter": None})
