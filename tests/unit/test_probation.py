"""When what a pipeline was swapped to has proved itself, and when it does not do."""

from datetime import UTC, datetime

import pytest

from edge_agent.serving.probation import Probation, Verdict, Watched, judge
from schemas.manifest import WantedHealth
from schemas.report import PipelineState, PipelineStatus, SinceSwap

HEALTH = WantedHealth(watch_s=30, min_messages=10, max_failed=0.2, max_p95_s=1.0)


def status(
    state: PipelineState = PipelineState.LISTENING,
    content: str = "new",
    *,
    answered: int = 0,
    failed: int = 0,
    p95_s: float = 0.5,
    restarts: int = 0,
) -> PipelineStatus:
    """What workers say."""
    since = SinceSwap(since=datetime.now(UTC), answered=answered, failed=failed, p95_s=p95_s)
    return PipelineStatus(
        name="p", version=1, state=state, reason="why", content_id=content, since_swap=since, restarts=restarts
    )


def verdict(told: PipelineStatus, *, health: WantedHealth | None = HEALTH, unloadable: str = "") -> Verdict:
    """Of what answers for ten seconds."""
    return judge(Probation(restarts=2, answers_since_s=100.0), Watched("new", health, told, unloadable), 110.0)


@pytest.mark.parametrize(
    ("told", "fault"),
    [
        (status(answered=9, failed=0, p95_s=9), ""),
        (status(answered=0, failed=9), ""),
        (status(answered=8, failed=2), ""),
        (status(answered=7, failed=3), "3 of 10 messages failed; 20% may"),
        (status(answered=10, p95_s=1.5), "messages take 1.5 s (p95); 1 s are allowed"),
        (status(PipelineState.FAILED, content="", restarts=3), "its worker ended: why"),
        (status(PipelineState.FAILED), "why"),
        (status(PipelineState.STARTING, content=""), ""),
        (status(content="old", answered=1, failed=99), ""),
        (status(PipelineState.IDLE), ""),
        (status(PipelineState.DEGRADED), ""),
    ],
)
def test_what_is_known_against_it(told: PipelineStatus, fault: str) -> None:
    """Failures and slowness count from so many messages on, an end of its worker at once, other content not at all."""
    assert verdict(told) == Verdict(fault=fault)


def test_what_cannot_be_loaded_is_at_fault_whether_it_is_watched_or_not() -> None:
    """What another content could not do is not held against it."""
    for health in (HEALTH, None):
        old = status(PipelineState.DEGRADED, content="old")
        assert verdict(old, health=health, unloadable="new") == Verdict(fault="why")
        assert verdict(old, health=health, unloadable="other") == Verdict()


def test_its_time_counts_from_its_first_answer() -> None:
    """Loading may take long; without a watch it has proved itself as soon as it answers."""
    probation = Probation(restarts=0)
    assert judge(probation, Watched("new", HEALTH, status(content="old"), ""), 0.0) == Verdict()
    assert judge(probation, Watched("new", HEALTH, status(), ""), 1000.0) == Verdict()
    assert judge(probation, Watched("new", HEALTH, status(), ""), 1029.9) == Verdict()
    assert judge(probation, Watched("new", HEALTH, status(), ""), 1030.0) == Verdict(proved=True)
    assert judge(Probation(restarts=0), Watched("new", None, status(), ""), 5.0) == Verdict(proved=True)
