"""The life of one run. Pure: no clock, no I/O.

QUEUED ─Selected▶ QUEUED ─Dispatched▶ DISPATCHED ─accepted▶ PREPARING ─started▶ RUNNING ─exited▶ UPLOADING
   │                 ▲ │                                                                            │
   └Refused▶ SKIPPED │ └Found: the edge is back with it▶ DISPATCHED, RUNNING                   Fetched
                     └─LeaseEnded, attempts left──  DISPATCHED, PREPARING, RUNNING                  ▼
   SUCCEEDED ◀Registered─ CHECKING ◀─the scripts ended well──────────────────────────────────── UPLOADING
                             └Failed▶ FAILED        FAILED, TIMED_OUT ◀─they did not (its log is held)─┘

   any live state ─CancelAsked▶ CANCELLED   ─DeadlinePassed▶ TIMED_OUT   ─LeaseEnded, none left▶ LOST

An event of an earlier attempt, or of an ended run, changes nothing: messages come late and more than once.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from controller.runs.steps import (
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
    LeaseEnded,
    Refused,
    Registered,
    RegisterModel,
    Run,
    SelectData,
    Selected,
    Waits,
)
from schemas.errors import InvalidTransition
from schemas.jobs import JobSpec
from schemas.runs import LIVE, ON_EDGE, Accepted, Exited, Outcome, Preparing, RunState, Started

PREPARING_S = 2 * 3600.0  # a big environment over a slow line
UPLOADING_S = 86400.0
CHECKING_S = 1800.0
FAILED_LOG_S = 120.0  # how long a failed run waits for its whole log; its tail is there already

_OF_EFFECTS = Fetched | Registered | Selected | Refused | Waits | Dispatched | Found


def pending(run: Run) -> Effect | None:
    """What must be done now for a run in this state; all that a restarted controller needs to go on."""
    match run.state:
        case RunState.QUEUED:
            return SelectData() if run.task is None else Dispatch()
        case RunState.UPLOADING:
            return FetchOutputs()
        case RunState.CHECKING:
            return RegisterModel()
    return None


def advance(run: Run, event: Event, now: datetime) -> Run:
    """Apply one event; what is to be done next is ``pending`` of the result.

    Raises:
        InvalidTransition: our bug, the event makes no sense in ``run.state``.
    """
    if run.state not in LIVE or _of_earlier_attempt(run, event):
        return run
    match event:
        case EdgeSaid():
            return _hear(run, event, now)
        case CancelAsked(reason):
            return _end(run, RunState.CANCELLED, reason, now)
        case DeadlinePassed():
            return _pass_deadline(run, now)
        case Failed(reason=reason):
            return _end(run, RunState.FAILED, reason, now)
        case LeaseEnded():
            return _lose(run, event, now)
    return _step(run, event, now)


def _of_earlier_attempt(run: Run, event: Event) -> bool:
    attempt = getattr(event, "attempt", run.attempt)
    return bool(attempt != run.attempt)


def _step(run: Run, event: Event, now: datetime) -> Run:
    match run.state, event:
        case RunState.QUEUED, Selected(data, task, base_version, base_model, holdout):
            based = replace(run, base_version=base_version, base_model=base_model)
            return replace(based, data=data, holdout=holdout, task=task, reason="its data is selected")
        case RunState.QUEUED, Refused(reason):
            return _end(run, RunState.SKIPPED, reason, now)
        case RunState.QUEUED, Waits(reason):
            return replace(run, reason=reason)
        case RunState.QUEUED, Dispatched(secrets) if run.task is not None:
            after = _enter(run, RunState.DISPATCHED, f"waits for {run.edge} to accept it", now)
            after = replace(after, attempt=run.attempt + 1, last_sequence=0, secrets=secrets)
            return replace(after, started=None, started_at=None, exited=None)
        case RunState.QUEUED, Found() if run.attempt > 0:
            state = RunState.RUNNING if run.started else RunState.DISPATCHED
            return _enter(run, state, f"{run.edge} is back and still has attempt {run.attempt}", now)
        case RunState.UPLOADING, Fetched() if run.exited is not None:
            if run.exited.outcome is Outcome.OK:
                return _enter(run, RunState.CHECKING, "its model is checked", now)
            state = RunState.TIMED_OUT if run.exited.outcome is Outcome.TIMED_OUT else RunState.FAILED
            return _end(run, state, run.exited.reason, now)
        case RunState.CHECKING, Registered(_, model, version, reason):
            return replace(_end(run, RunState.SUCCEEDED, reason, now), model=model, version=version)
    if isinstance(event, _OF_EFFECTS) and run.state in ON_EDGE:
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
        case RunState.DISPATCHED | RunState.PREPARING | RunState.RUNNING, Exited(outcome=Outcome.LOST) as exited:
            return _try_again(replace(run, exited=exited), exited.reason, now)
        case RunState.DISPATCHED | RunState.PREPARING | RunState.RUNNING, Exited() as exited:
            reason = (
                "its outputs are fetched" if exited.outcome is Outcome.OK else f"{exited.reason}; its log is fetched"
            )
            return replace(_enter(run, RunState.UPLOADING, reason, now, exited), exited=exited)
    return run  # such as Preparing told again by a task that was adopted


def _pass_deadline(run: Run, now: datetime) -> Run:
    if run.state is RunState.UPLOADING and run.exited is not None and run.exited.outcome is not Outcome.OK:
        return _step(run, Fetched(run.attempt), now)  # ended long ago; only its whole log is missing
    return _end(run, RunState.TIMED_OUT, f"{run.state} for too long ({run.reason})", now)


def _lose(run: Run, event: LeaseEnded, now: datetime) -> Run:
    if run.state not in ON_EDGE or run.state in {RunState.UPLOADING, RunState.CHECKING}:
        return run  # a finished attempt's outputs are waited for, until the deadline
    return _try_again(run, f"{run.edge} was silent for {event.silent_s:.0f} s", now)


def _try_again(run: Run, why: str, now: datetime) -> Run:
    if run.attempt < run.job.retry.max_attempts:
        reason = f"{why}; attempt {run.attempt + 1} of {run.job.retry.max_attempts} waits for {run.edge}"
        return _enter(run, RunState.QUEUED, reason, now)
    return _end(run, RunState.LOST, f"{why}; it was attempt {run.attempt} of {run.job.retry.max_attempts}", now)


def _enter(run: Run, state: RunState, reason: str, now: datetime, exited: Exited | None = None) -> Run:
    seconds = _allowed_s(run.job, state, exited)
    return replace(run, state=state, reason=reason, deadline=now + timedelta(seconds=seconds))


def _allowed_s(job: JobSpec, state: RunState, exited: Exited | None) -> float:
    """How long a run may stay in a state, in seconds, the edge's permitted silence included."""
    if state is RunState.UPLOADING and exited is not None and exited.outcome is not Outcome.OK:
        return FAILED_LOG_S
    on_edge = {
        RunState.DISPATCHED: PREPARING_S,
        RunState.PREPARING: PREPARING_S,
        RunState.RUNNING: job.limits.timeout_s + 300,  # the edge itself ends it at timeout_s
        RunState.UPLOADING: UPLOADING_S,
    }
    if state in on_edge:
        return on_edge[state] + job.silence.lost_after * job.retry.max_attempts
    return CHECKING_S if state is RunState.CHECKING else job.start_within


def first_deadline(job: JobSpec, start: datetime) -> datetime:
    """When a run that may start at ``start`` has waited too long."""
    return start + timedelta(seconds=job.start_within)


def _end(run: Run, state: RunState, reason: str, now: datetime) -> Run:
    return replace(run, state=state, reason=reason, deadline=None, ended_at=now)
