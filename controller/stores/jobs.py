"""Jobs in the control database, and the cursor of their schedules."""

from collections.abc import Callable
from datetime import datetime

from sqlmodel import Session, col, select

from controller.stores.runs import queue_run
from controller.stores.tables import JobRow, RunRow
from schemas.errors import NotFound
from schemas.jobs import JobSpec
from schemas.schedules import Schedule

NextFire = Callable[[Schedule, datetime, datetime], datetime | None]
"""(schedule, anchor, after) → the next time it is due."""


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


def save_job(session: Session, *, spec: JobSpec, now: datetime, next_fire: NextFire) -> None:
    """Make or change a job. Its next time is computed from now on, so that editing never fires it. Caller commits."""
    row = session.get(JobRow, spec.name)
    if row is None:
        row = JobRow(name=spec.name, spec="", created_at=now, anchor_at=now)
        before = None
    else:
        before = JobSpec.model_validate_json(row.spec)
    row.spec = spec.model_dump_json()
    if before is None or before.schedule != spec.schedule:
        row.anchor_at = now
    if before is None or before.schedule != spec.schedule or before.paused != spec.paused:
        live = spec.schedule is not None and not spec.paused
        row.next_fire_at = next_fire(spec.schedule, row.anchor_at, now) if live and spec.schedule else None
    session.add(row)


def fire_due(session: Session, *, now: datetime, next_fire: NextFire) -> list[RunRow]:
    """Queue one run for each job whose time has come, and move its cursor, in one transaction. Caller commits.

    Ticks that passed while the controller was away are joined into one run.
    """
    fired = []
    for row in session.exec(select(JobRow).where(col(JobRow.next_fire_at) <= now)):
        spec = JobSpec.model_validate_json(row.spec)
        due, row.next_fire_at = row.next_fire_at, None
        if spec.schedule is not None and not spec.paused:
            row.next_fire_at = next_fire(spec.schedule, row.anchor_at, now)
        session.add(row)
        if due is not None:
            run = queue_run(session, job=spec, trigger="schedule", scheduled_at=due, now=now)
            fired += [run] if run is not None else []
    return fired


def next_due(session: Session) -> datetime | None:
    """The earliest time at which any job is due."""
    wanted = select(JobRow.next_fire_at).where(col(JobRow.next_fire_at).is_not(None))
    return session.exec(wanted.order_by(col(JobRow.next_fire_at)).limit(1)).first()
