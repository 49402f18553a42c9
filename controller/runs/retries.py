"""Which failures are tried again, and after what pause. Pure."""

from schemas.jobs import Retry
from schemas.runs import Outcome, RunState

_KINDS = {
    Outcome.LOST: "edge_lost",
    Outcome.OUT_OF_DISK: "out_of_disk",
    Outcome.SCRIPT_FAILED: "script_failed",
}
"""What a job calls them. What is not here would fail again: a refused output, a wrong requirement, too little time."""

_ENDS = {Outcome.LOST: RunState.LOST, Outcome.TIMED_OUT: RunState.TIMED_OUT}


def wanted_again(retry: Retry, outcome: Outcome) -> bool:
    """Whether the job asks for another attempt after such an end."""
    return _KINDS.get(outcome) in retry.on


def pause_s(retry: Retry, attempt: int) -> float:
    """Seconds to wait after ``attempt`` before the next: doubled each time, up to the cap."""
    doublings = min(attempt - 1, 60)  # beyond that a float would overflow, and the cap holds anyway
    return min(retry.backoff_cap, retry.backoff * 2.0**doublings)


def end_of(outcome: Outcome) -> RunState:
    """The state in which a run ends that is not tried again."""
    return _ENDS.get(outcome, RunState.FAILED)
