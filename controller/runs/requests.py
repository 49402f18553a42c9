"""Runs that a person asks for: now, once more, or on the very data of an earlier one."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlmodel import Session

from controller.runs.steps import Run
from controller.stores.jobs import get_job
from controller.stores.runs import get_row, load_run, queue_run
from controller.stores.tables import JobRow, RunRow
from schemas.errors import Conflict, NotFound
from schemas.jobs import JobSpec
from schemas.runs import LIVE, RunTrigger

_TICK = timedelta(microseconds=1)  # two people may ask in the same instant


def run_now(session: Session, *, name: str, full: bool, now: datetime) -> RunRow:
    """Queue a run of a job; the schedule goes on as it was. Raises NotFound. Caller commits."""
    _, spec = get_job(session, name=name)
    cause = "asked for by a person" + (", with all rows" if full else "")
    return _queue(session, spec, "manual", now, cause=cause, full=full)


def retry(session: Session, *, run_id: UUID, now: datetime) -> RunRow:
    """Queue a run of the same job as it was then; its data is selected anew. Caller commits.

    Raises:
        NotFound: there is no such run, or its job is gone.
        Conflict: it goes on, or has succeeded.
    """
    run = _ended(session, run_id, "tried again")
    if run.version is not None:
        raise Conflict(f"run {run_id} succeeded; `tidemill run reproduce {run_id}` trains on its data once more")
    cause = f"run {run_id} once more"
    return _queue(session, run.job, "retry", now, cause=cause, full=run.full, replays=run.replays)


def reproduce(session: Session, *, run_id: UUID, now: datetime) -> RunRow:
    """Queue a run on exactly what an earlier one was given: data, scripts, requirements, limits. Caller commits.

    Raises:
        NotFound: there is no such run, or its job is gone.
        Conflict: it goes on, or its data was never selected.
    """
    run = _ended(session, run_id, "reproduced")
    if run.task is None:
        raise Conflict(f"run {run_id} ended before its data was selected: {run.reason}")
    return _queue(session, run.job, "reproduction", now, cause=f"the data of run {run_id} again", replays=run_id)


def _ended(session: Session, run_id: UUID, what: str) -> Run:
    run = load_run(session, run_id=run_id)
    if session.get(JobRow, get_row(session, run_id=run_id).job) is None:  # another job may have its name by now
        raise NotFound(f"the job {run.job.name} of run {run_id} was deleted")
    if run.state in LIVE:
        raise Conflict(f"run {run_id} is {run.state}, and can be {what} when it has ended")
    return run


def _queue(  # noqa: PLR0913 - see queue_run
    session: Session,
    spec: JobSpec,
    trigger: RunTrigger,
    now: datetime,
    *,
    cause: str,
    full: bool = False,
    replays: UUID | None = None,
) -> RunRow:
    due = now
    while (
        row := queue_run(
            session, job=spec, trigger=trigger, scheduled_at=due, now=now, cause=cause, full=full, replays=replays
        )
    ) is None:
        due += _TICK
    return row
