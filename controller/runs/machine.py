"""The life of one run. Pure: no clock, no I/O.

QUEUED ─Admitted, Selected▶ QUEUED ─Dispatched▶ DISPATCHED ─accepted▶ PREPARING ─started▶ RUNNING ─exited▶ UPLOADING
   │                         ▲  │                                                                           │
   └Refused▶ SKIPPED         │  └Found: the edge is back with it▶ DISPATCHED, RUNNING                    Fetched
                             └──LeaseEnded, Gone, a failure that may pass──  any state on an edge            ▼
   SUCCEEDED ◀Registered─ CHECKING ◀─the scripts ended well──────────────────────────────────────────── UPLOADING
                             └Failed▶ FAILED        FAILED, TIMED_OUT, LOST ◀─they did not, for good────────┘

   any live state ─CancelAsked▶ CANCELLED   ─DeadlinePassed▶ TIMED_OUT   ─LeaseEnded, Gone, none left▶ LOST

An event of an earlier attempt, or of an ended run, changes nothing: messages come late and more than once. A queued run
whose attempt has not ended (``exited`` is None) may still be found with its edge; one whose attempt has ended may not.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from controller.runs.deadlines import allowed_s, first_deadline
from controller.runs.retries import end_of, pause_s, wanted_again
from controller.runs.steps import (
    Admitted,
    CancelAsked,
    DeadlinePassed,
    Dispatch,
    Dispatched,
    EdgeSaid,
    Effect,
    Event,
    Failed,
    Fetched,
    FetchOutputs,
    Found,
    Gone,
    LeaseEnded,
    Refused,
    Registered,
    RegisterModel,
    Run,
    SelectData,
    Selected,
    TakeTurn,
    Waits,
)
from schemas.errors import InvalidTransition
from schemas.runs import LIVE, ON_EDGE, Accepted, Exited, Outcome, Preparing, RunState, Started

USING_EDGE = frozenset({RunState.DISPATCHED, RunState.PREPARING, RunState.RUNNING})
"""The states in which an attempt uses its edge's processor, and is lost when the edge is."""

_OF_EFFECTS = Admitted | Fetched | Registered | Selected | Refused | Waits | Dispatched | Found


def pending(run: Run) -> Effect | None:
    """What must be done now for a run in this state; all that a restarted controller needs to go on."""
    match run.state:
        case RunState.QUEUED if not run.admitted:
            return TakeTurn()
        case RunState.QUEUED:
            return SelectData() if run.task is None else Dispatch()
        case RunState.UPLOADING:
            return FetchOutputs()
        case RunState.CHECKING:
            return RegisterModel()
    return None


def may_be_alive(run: Run) -> bool:
    """Whether a queued run's last attempt may go on somewhere: its edge fell silent, and nothing told of its end."""
    return run.state is RunState.QUEUED and run.attempt > 0 and run.exited is None


def in_manifest(run: Run) -> tuple[str, int, bool] | None:
    """Where an attempt stands in a manifest: edge, attempt, and whether it may only go on there; None: nowhere."""
    if run.state not in LIVE or run.attempt == 0 or (run.state is RunState.QUEUED and run.exited is not None):
        return None
    return run.edge, run.attempt, run.state is not RunState.DISPATCHED


def advance(run: Run, event: Event, now: datetime) -> Run:
    """Apply one event; what is to be done next is ``pending`` of the result.

    Raises:
        InvalidTransition: our bug, the event makes no sense in ``run.state``.
    """
    if run.state not in LIVE or _of_other_attempt(run, event):
        return run
    match event:
        case EdgeSaid():
            return _hear(run, event, now)
        case CancelAsked(reason):
            return _end(run, RunState.CANCELLED, reason, now)
        case DeadlinePassed(deadline):
            return _pass_deadline(run, now) if deadline == run.deadline else run
        case Failed(reason=reason):
            return _end(run, RunState.FAILED, reason, now)
        case LeaseEnded(silent_s=silent_s):
            return _lose(run, silent_s, now)
        case Gone(reason=reason):
            return _miss(run, reason, now)
    return _wait(run, event, now) if run.state is RunState.QUEUED else _collect(run, event, now)


def _of_other_attempt(run: Run, event: Event) -> bool:
    if isinstance(event, Dispatched):
        return event.attempt != run.attempt + 1
    return getattr(event, "attempt", run.attempt) != run.attempt


def _wait(run: Run, event: Event, now: datetime) -> Run:
    """From a tick to an edge."""
    match event:
        case Admitted():
            return replace(run, admitted=True, reason="its data is about to be selected")
        case Selected(data, task, base_version, base_model, holdout) if run.admitted and run.task is None:
            based = replace(run, base_version=base_version, base_model=base_model)
            return replace(based, data=data, holdout=holdout, task=task, reason="its data is selected")
        case Refused(reason) if run.task is None:
            return _end(run, RunState.SKIPPED, reason, now)
        case Waits(reason):
            return replace(run, reason=reason)
        case Dispatched(attempt, edge, secrets) if run.admitted and run.task is not None:
            there = _enter(replace(run, edge=edge), RunState.DISPATCHED, f"waits for {edge} to accept it", now)
            fresh = replace(there, attempt=attempt, last_sequence=0, started=None, started_at=None, exited=None)
            return replace(fresh, secrets=secrets, not_before=None)
        case Found() if may_be_alive(run):
            state = RunState.RUNNING if run.started else RunState.DISPATCHED
            back = _enter(run, state, f"{run.edge} is back and still has attempt {run.attempt}", now)
            return replace(back, not_before=None)
        case Fetched():
            return run  # what was being fetched is gone
    raise InvalidTransition(f"run {run.id}: {event} while {run.state}")


def _collect(run: Run, event: Event, now: datetime) -> Run:
    """From an attempt's end to the run's."""
    match run.state, event:
        case RunState.UPLOADING, Fetched() if run.exited is not None:
            if run.exited.outcome is Outcome.OK:
                return _enter(run, RunState.CHECKING, "its model is checked", now)
            return _try_again(run, run.exited.outcome, run.exited.reason, now)
        case RunState.UPLOADING | RunState.CHECKING, Waits(reason):
            return replace(run, reason=reason)
        case RunState.CHECKING, Registered(_, model, version, reason):
            return replace(_end(run, RunState.SUCCEEDED, reason, now), model=model, version=version)
    if isinstance(event, _OF_EFFECTS):
        return run  # the effect was carried out twice
    raise InvalidTransition(f"run {run.id}: {event} while {run.state}")


def _hear(run: Run, said: EdgeSaid, now: datetime) -> Run:
    """Take the edge's events strictly in their order; a gap is filled by the edge sending again."""
    if run.state not in ON_EDGE or said.sequence != run.last_sequence + 1:
        return run
    run = replace(run, last_sequence=said.sequence)
    match run.state, said.event:
        case RunState.DISPATCHED, Accepted():
            return _enter(run, RunState.PREPARING, f"accepted by {run.edge}", now)
        case RunState.DISPATCHED | RunState.PREPARING, Preparing(note=note):
            return _enter(run, RunState.PREPARING, note, now)
        case RunState.DISPATCHED | RunState.PREPARING, Started() as started:
            after = _enter(run, RunState.RUNNING, f"its scripts run on {run.edge}", now)
            return replace(after, started=started, started_at=now)
        case RunState.DISPATCHED | RunState.PREPARING | RunState.RUNNING, Exited() as exited:
            reason = (
                "its outputs are fetched" if exited.outcome is Outcome.OK else f"{exited.reason}; its log is fetched"
            )
            return replace(_enter(run, RunState.UPLOADING, reason, now, exited), exited=exited)
    return run  # such as Preparing told again by a task that was adopted


def _pass_deadline(run: Run, now: datetime) -> Run:
    if run.state is RunState.UPLOADING and run.exited is not None and run.exited.outcome is not Outcome.OK:
        return _collect(run, Fetched(run.attempt), now)  # ended long ago; only its whole log is missing
    return _end(run, RunState.TIMED_OUT, f"{run.state} for too long ({run.reason})", now)


def _lose(run: Run, silent_s: float, now: datetime) -> Run:
    if run.state not in USING_EDGE:
        return run  # a finished attempt's outputs are waited for, until the deadline
    why = f"{run.edge} was silent for {silent_s:.0f} s"
    if run.job.silence.replace:
        return _try_again(run, Outcome.LOST, why, now)
    after = _enter(run, RunState.QUEUED, f"{why}; attempt {run.attempt} is waited for (silence.replace: false)", now)
    return replace(after, not_before=None)


def _miss(run: Run, why: str, now: datetime) -> Run:
    """The edge is there without the attempt, or without what it made: lost, unless nothing of it is needed."""
    if run.state is RunState.UPLOADING and run.exited is not None and run.exited.outcome is not Outcome.OK:
        return _collect(run, Fetched(run.attempt), now)
    if run.state not in USING_EDGE | {RunState.UPLOADING} and not may_be_alive(run):
        return run
    told = run.exited or Exited(outcome=Outcome.LOST)
    ended = told.model_copy(update={"outcome": Outcome.LOST, "reason": why, "outputs": None})
    return _try_again(replace(run, exited=ended), Outcome.LOST, why, now)


def _try_again(run: Run, outcome: Outcome, why: str, now: datetime) -> Run:
    """Queue another attempt if the job asks for it and one is left; else the run ends as the attempt did."""
    retry = run.job.retry
    if not wanted_again(retry, outcome):
        return _end(run, end_of(outcome), why, now)
    if run.attempt >= retry.max_attempts:
        which = f"; it was attempt {run.attempt} of {retry.max_attempts}" if run.attempt > 1 else ""
        return _end(run, end_of(outcome), f"{why}{which}", now)
    start = now + timedelta(seconds=pause_s(retry, run.attempt))
    reason = f"{why}; attempt {run.attempt + 1} of {retry.max_attempts} may start at {start:%H:%M:%S} UTC"
    after = replace(run, state=RunState.QUEUED, reason=reason, not_before=start)
    return replace(after, deadline=first_deadline(run.job, start))


def _enter(run: Run, state: RunState, reason: str, now: datetime, exited: Exited | None = None) -> Run:
    seconds = allowed_s(run.job, state, exited)
    return replace(run, state=state, reason=reason, deadline=now + timedelta(seconds=seconds))


def _end(run: Run, state: RunState, reason: str, now: datetime) -> Run:
    return replace(run, state=state, reason=reason, deadline=None, ended_at=now)
