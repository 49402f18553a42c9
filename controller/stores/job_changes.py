"""Deleting, renaming and moving jobs, each in one transaction, without touching what they made."""

import json
from dataclasses import replace
from datetime import datetime

from sqlalchemy import delete, update
from sqlmodel import Session, col, select

from controller.runs.machine import advance
from controller.runs.steps import CancelAsked, Run
from controller.stores.jobs import get_job
from controller.stores.runs import live_runs, save_step
from controller.stores.tables import JobRow, RunRow, TriggerRow, VersionRow, WatermarkRow
from schemas.errors import Conflict
from schemas.jobs import JobSpec
from schemas.names import Name
from schemas.runs import RunState

Step = tuple[Run, Run]
"""A run before and after it was cancelled; ``Supervisor.tell`` lets the daemon know, once it is committed."""


def delete_job(session: Session, *, name: Name, cancel: bool, now: datetime) -> list[Step]:
    """Delete a job: its schedule, triggers and watermarks. Caller commits.

    Its model versions stay whole, and belong to no job from then on. Its runs stay too, until they are forgotten, under
    a name that no job can have: a new job of the same name starts anew, and has nothing to do with them.

    Raises:
        NotFound: there is no such job.
        Conflict: runs of it go on, and ``cancel`` is not given.
    """
    row, _ = get_job(session, name=name)
    live = live_runs(session, job=name)
    if live and not cancel:
        raise Conflict(f"run {live[0].id} of {name} is {live[0].state}; wait for it, or have it cancelled")
    steps = [(run, advance(run, CancelAsked(f"job {name} was deleted"), now)) for run in live]
    for before, after in steps:
        save_step(session, before=before, after=after)
    for table in (WatermarkRow, TriggerRow):
        session.connection().execute(delete(table).where(col(table.job) == name))
    _move(session, name, to_versions=None, to_runs=f"{name} (deleted {now:%Y-%m-%d %H:%M:%S.%f})")
    session.delete(row)
    session.flush()
    return [(before, replace(after, revision=before.revision + 1)) for before, after in steps]


def rename_job(session: Session, *, old: Name, new: Name) -> None:
    """Give a job another name: nothing fires, nothing is trained again, and its live runs go on. Caller commits.

    Cards of versions, and tasks that an edge has already, keep the name of their time.

    Raises:
        NotFound: there is no job ``old``.
        Conflict: there is a job ``new`` already.
    """
    row, _ = get_job(session, name=old)
    if session.get(JobRow, new) is not None:
        raise Conflict(f"there is a job {new!r} already")
    this = col(JobRow.name) == old
    session.connection().execute(update(JobRow).where(this).values(name=new, spec=_renamed(row.spec, new)))
    session.expire(row)
    for table in (WatermarkRow, TriggerRow):
        session.connection().execute(update(table).where(col(table.job) == old).values(job=new))
    for run_id, spec in session.exec(select(RunRow.id, RunRow.spec).where(RunRow.job == old)).all():
        # Who works for a run at the moment looks at it again when its revision has grown.
        changes = {"spec": _renamed(spec, new), "revision": col(RunRow.revision) + 1}
        session.connection().execute(update(RunRow).where(col(RunRow.id) == run_id).values(changes))
    _move(session, old, to_versions=new, to_runs=new)


def move_waiting_runs(session: Session, *, job: JobSpec) -> None:
    """Have the job's queued runs go where the job goes now, in all else as they were queued. Caller commits.

    They could otherwise wait for an edge that is gone, and hold up those of later ticks. One that its edge has been
    given stays there; an attempt that may be alive on a silent edge still counts if that edge is back in time.
    """
    place = job.model_dump(mode="json", include={"edge", "edge_labels", "executor"})
    waiting = select(RunRow.id, RunRow.spec, RunRow.attempt, RunRow.edge)
    for run_id, text, attempt, edge in session.exec(
        waiting.where(RunRow.job == job.name, RunRow.state == RunState.QUEUED)
    ).all():
        spec = json.loads(text)
        if place.items() <= spec.items():
            continue
        changes = {
            "spec": json.dumps({**spec, **place}),
            "edge": edge if attempt else job.edge or "",
            "revision": col(RunRow.revision) + 1,
        }
        session.connection().execute(update(RunRow).where(col(RunRow.id) == run_id).values(changes))


def _move(session: Session, name: str, *, to_versions: str | None, to_runs: str) -> None:
    session.connection().execute(update(VersionRow).where(col(VersionRow.job) == name).values(job=to_versions))
    session.connection().execute(update(RunRow).where(col(RunRow.job) == name).values(job=to_runs))


def _renamed(spec: str, name: str) -> str:
    return json.dumps({**json.loads(spec), "name": name})
