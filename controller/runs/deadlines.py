"""How long a run may stay in each state. Pure."""

from datetime import datetime, timedelta

from schemas.jobs import JobSpec
from schemas.runs import Exited, Outcome, RunState

PREPARING_S = 2 * 3600.0  # a big environment over a slow line
UPLOADING_S = 86400.0
CHECKING_S = 1800.0
FAILED_LOG_S = 120.0  # how long a failed attempt waits for its whole log; its tail is there already
LAST_WORDS_S = 300.0  # the edge itself ends scripts at the job's limit


def allowed_s(job: JobSpec, state: RunState, exited: Exited | None) -> float:
    """How long a run may stay in a live state, in seconds, the edge's permitted silence included."""
    if state is RunState.UPLOADING and exited is not None and exited.outcome is not Outcome.OK:
        return FAILED_LOG_S
    on_edge = {
        RunState.DISPATCHED: PREPARING_S,
        RunState.PREPARING: PREPARING_S,
        RunState.RUNNING: job.limits.timeout_s + LAST_WORDS_S,
        RunState.UPLOADING: UPLOADING_S,
    }
    if state in on_edge:
        return on_edge[state] + job.silence.lost_after * job.retry.max_attempts
    return CHECKING_S if state is RunState.CHECKING else job.start_within


def first_deadline(job: JobSpec, start: datetime) -> datetime:
    """When a run that may start at ``start`` has waited too long."""
    return start + timedelta(seconds=job.start_within)
