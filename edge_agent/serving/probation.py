"""How what a pipeline was swapped to proves itself, or why it does not do. Pure.

swapped ─▶ loading ─answers▶ watched ─for as long as its health says▶ proved
              └ cannot be loaded, its worker ends ─▶ at fault ◀─┘ its worker ends, too much fails, too slow
"""

from dataclasses import dataclass

from schemas.manifest import WantedHealth
from schemas.report import PipelineState, PipelineStatus, SinceSwap


@dataclass(slots=True)
class Probation:
    """Of one pipeline's content, from the moment its workers are told of it."""

    restarts: int  # of its workers, before
    answers_since_s: float | None = None  # on the monotonic clock


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be thought of it now."""

    proved: bool = False
    fault: str = ""  # why it does not do; empty: nothing is known against it


@dataclass(frozen=True, slots=True)
class Watched:
    """What is watched, and what its workers say."""

    content_id: str
    health: WantedHealth | None
    status: PipelineStatus
    unloadable: str  # the content_id of what they could not load


def judge(probation: Probation, watched: Watched, now_s: float) -> Verdict:
    """Look at it; notes in the probation when it began to answer."""
    status, health = watched.status, watched.health
    if watched.unloadable == watched.content_id:
        return Verdict(fault=status.reason or "it could not be loaded")
    if status.restarts > probation.restarts:
        return Verdict(fault=f"its worker ended: {status.reason}")
    if status.content_id != watched.content_id or status.state is PipelineState.IDLE:
        return Verdict()
    if probation.answers_since_s is None:
        probation.answers_since_s = now_s
    if health is None:
        return Verdict(proved=True)
    if status.state is PipelineState.FAILED:
        return Verdict(fault=status.reason)
    if status.since_swap is not None and (fault := _fault(health, status.since_swap)):
        return Verdict(fault=fault)
    return Verdict(proved=now_s - probation.answers_since_s >= health.watch_s)


def _fault(health: WantedHealth, since: SinceSwap) -> str:
    messages = since.answered + since.failed
    if messages < health.min_messages:
        return ""
    if since.failed > health.max_failed * messages:
        return f"{since.failed} of {messages} messages failed; {health.max_failed:.0%} may"
    if health.max_p95_s is not None and since.p95_s > health.max_p95_s:
        return f"messages take {since.p95_s:.3g} s (p95); {health.max_p95_s:g} s are allowed"
    return ""
