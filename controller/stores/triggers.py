"""Data triggers in the control database: when each is looked at next, and what it saw last."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from pydantic import TypeAdapter
from sqlmodel import Session, col, select

from controller.runs.trigger_rules import RowsSeen, Sight, judge
from controller.stores.runs import queue_run
from controller.stores.tables import JobRow, RunRow, TriggerRow
from schemas.jobs import JobSpec
from schemas.models import DataSelection
from schemas.runs import LIVE
from schemas.schedules import NewRows, Trigger

_SELECTIONS = TypeAdapter(tuple[DataSelection, ...])

Key = tuple[str, str]
"""A job's name, and the digest of one of its triggers."""


@dataclass(frozen=True, slots=True)
class LastRun:
    """The newest run of a job whose rows were selected."""

    id: UUID
    upto: dict[str, int]  # by collection that its queries read: the position up to which it saw rows


@dataclass(frozen=True, slots=True)
class Noted:
    """What a look came to."""

    run: UUID | None = None  # that it queued
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """A trigger whose time to be looked at has come."""

    job: JobSpec
    key: Key
    trigger: Trigger
    position: int
    run: UUID | None
    crossed_at: datetime | None
    last_run: LastRun | None  # of new rows


def digest_of(trigger: Trigger) -> str:
    """What tells a trigger from the others of its job; the same when a later version knows more fields."""
    return sha256(trigger.model_dump_json(exclude_defaults=True).encode()).hexdigest()


def save_triggers(session: Session, *, spec: JobSpec, before: JobSpec | None, now: datetime) -> None:
    """Bring a job's rows to what it says now; none is looked at before its own time has passed. Caller commits.

    A trigger that goes on looking at the same thing, only more often or with another amount, keeps what it saw.
    """
    wanted = {digest_of(trigger): trigger for trigger in spec.triggers}
    had = {digest_of(trigger): trigger for trigger in before.triggers} if before else {}
    rows = {row.trigger: row for row in session.exec(select(TriggerRow).where(TriggerRow.job == spec.name))}
    gone = {key: row for key, row in rows.items() if key not in wanted}
    for key, trigger in wanted.items():
        row = rows.get(key) or TriggerRow(job=spec.name, trigger=key)
        if key not in rows:
            same = next(
                (gone[old] for old in gone.keys() & had.keys() if _subject(had[old]) == _subject(trigger)), None
            )
            if same is not None:
                row.position, row.run, row.value, row.crossed_at = same.position, same.run, same.value, same.crossed_at
        if spec.paused:
            row.next_look_at = None
        elif row.next_look_at is None:
            row.next_look_at = now + timedelta(seconds=trigger.every)
        session.add(row)
    for row in gone.values():
        session.delete(row)


def seen_by(session: Session, *, spec: JobSpec) -> list[tuple[Trigger, TriggerRow]]:
    """A job's triggers, each with what it saw last."""
    rows = {row.trigger: row for row in session.exec(select(TriggerRow).where(TriggerRow.job == spec.name))}
    found = ((trigger, rows.get(digest_of(trigger))) for trigger in spec.triggers)
    return [(trigger, row) for trigger, row in found if row is not None]


def due_looks(
    session: Session, *, now: datetime, besides: Collection[Key], limit: int
) -> tuple[list[Look], datetime | None]:
    """The triggers to be looked at now, at most ``limit``, and when the next one is due; both without ``besides``."""
    wanted = select(TriggerRow).where(col(TriggerRow.next_look_at).is_not(None)).order_by(col(TriggerRow.next_look_at))
    rows = [
        row for row in session.exec(wanted.limit(len(besides) + limit + 1)) if (row.job, row.trigger) not in besides
    ]
    looks: list[Look] = []
    for row in rows:
        if len(looks) == limit or (row.next_look_at is not None and row.next_look_at > now):
            return looks, row.next_look_at
        look = _look(session, row)
        looks += [look] if look is not None else []
    return looks, None


def note_seen(session: Session, *, look: Look, seen: Sight, now: datetime) -> Noted:
    """Keep what was seen and, if it makes the job due, queue a run, in one transaction. Caller commits.

    Nothing is kept if the trigger is gone or rests by now; and what was seen is looked at anew, at once, if a run of
    the job came in between, which may have seen the same rows.
    """
    row = session.get(TriggerRow, look.key)
    if row is None or row.next_look_at is None:
        return Noted()
    session.add(row)
    if isinstance(look.trigger, NewRows) and last_run(session, job=look.job.name) != look.last_run:
        return Noted()
    row.next_look_at = now + timedelta(seconds=look.trigger.every)
    row.problem = ""
    busy = _has_live_run(session, job=look.job.name)
    verdict = judge(look.trigger, seen, crossed_at=row.crossed_at, now=now, busy=busy)
    run = None
    if verdict.cause:
        job = JobSpec.model_validate_json(session.get_one(JobRow, look.job.name).spec)
        run = queue_run(session, job=job, trigger="data", scheduled_at=now, now=now, cause=verdict.cause)
        if run is None:  # another run is of this very moment
            return Noted()
    row.crossed_at = verdict.crossed_at
    if isinstance(seen, RowsSeen):
        row.position = seen.since if run is None else seen.upto
        row.value = float(seen.count if run is None else 0)
        row.run = look.last_run.id if look.last_run is not None else None
    else:
        row.value = seen.value
    return Noted(run.id if run is not None else None, verdict.cause)


def note_problem(session: Session, *, look: Look, problem: str, now: datetime) -> bool:
    """Keep why a trigger could not look, until it can; returns whether that is news. Caller commits."""
    row = session.get(TriggerRow, look.key)
    if row is None or row.next_look_at is None:
        return False
    news, row.problem = row.problem != problem, problem
    row.next_look_at = now + timedelta(seconds=look.trigger.every)
    session.add(row)
    return news


def _has_live_run(session: Session, *, job: str) -> bool:
    """Whether a run of the job goes on or waits."""
    live = select(RunRow.id).where(RunRow.job == job, col(RunRow.state).in_(LIVE))
    return session.exec(live.limit(1)).first() is not None


def last_run(session: Session, *, job: str) -> LastRun | None:
    """The newest run of the job whose rows were selected, whatever became of it.

    One that was refused saw nothing, and one that trains again on older rows tells nothing of newer ones.
    """
    wanted = select(RunRow.id, RunRow.data).where(
        RunRow.job == job, col(RunRow.task).is_not(None), col(RunRow.replays).is_(None)
    )
    found = session.exec(wanted.order_by(col(RunRow.created_at).desc()).limit(1)).first()
    if found is None:
        return None
    run_id, data = found
    upto: dict[str, int] = {}
    for selection in _SELECTIONS.validate_json(data):
        for name, window in selection.windows.items():
            upto[name] = max(upto.get(name, 0), window.upto)
    return LastRun(run_id, upto)


def _look(session: Session, row: TriggerRow) -> Look | None:
    job = session.get(JobRow, row.job)
    if job is None:
        return None
    spec = JobSpec.model_validate_json(job.spec)
    trigger = next((one for one in spec.triggers if digest_of(one) == row.trigger), None)
    if trigger is None:
        return None
    return Look(
        job=spec,
        key=(row.job, row.trigger),
        trigger=trigger,
        position=row.position,
        run=row.run,
        crossed_at=row.crossed_at,
        last_run=last_run(session, job=row.job) if isinstance(trigger, NewRows) else None,
    )


def _subject(trigger: Trigger) -> tuple[object, ...]:
    """What a trigger looks at."""
    if isinstance(trigger, NewRows):
        return (trigger.collection,)
    return trigger.query, trigger.above, trigger.below
