"""What is told of a pipeline over the workers that it had: since when it is so, and when a message failed last."""

from datetime import UTC, datetime

import pytest

from edge_agent.serving.pipeline_standing import Standing
from edge_agent.serving.replicas import together
from edge_agent.worker.worker_protocol import WorkerStatus
from schemas.pipeline_views import PipelineView
from schemas.pipelines import PipelineSpec
from schemas.report import PipelineState, PipelineStatus
from tidemill.cli.pipeline_view import edges_of

AT = datetime(2026, 11, 28, 12, tzinfo=UTC)
LISTENING, DEGRADED, FAILED = PipelineState.LISTENING, PipelineState.DEGRADED, PipelineState.FAILED


def test_a_state_has_a_beginning() -> None:
    """Counters and reasons that change begin nothing new; a message that failed is no news but for its time."""
    standing = Standing("p")
    assert standing.tell(WorkerStatus(state=LISTENING, version=1))
    since = standing.status(1).since
    assert not standing.tell(WorkerStatus(state=LISTENING, version=1, answered=5, failed=1, failed_at=AT))
    assert standing.tell(WorkerStatus(state=LISTENING, version=1, reason="last failed message: a: b", failed_at=AT))
    assert (standing.status(1).since, standing.status(1).failed_at) == (since, AT)
    standing.tell(WorkerStatus(state=DEGRADED, version=1, reason="the broker is away"))
    degraded = standing.status(1).since
    assert since is not None
    assert degraded is not None
    assert degraded > since
    standing.worker_ended("it ended with exit code 7")
    status = standing.status(1)
    assert (status.state, status.reason) == (FAILED, "it ended with exit code 7")
    assert status.since is not None
    assert status.since > degraded


def test_of_several_workers_the_last_failure_counts() -> None:
    """Whichever of them it was at."""
    statuses = [
        PipelineStatus(name="p", version=1, state=LISTENING, failed_at=at)
        for at in (None, AT, AT.replace(hour=11), None)
    ]
    assert together(statuses).failed_at == AT
    assert together(statuses[:1] * 2).failed_at is None


@pytest.mark.parametrize(
    ("absent", "told"),
    [
        ({}, "e: failed version 2 since 5 min ago, 8 of 9 answered, 1 failed, the last 5 min ago, 2 dropped a: why"),
        (
            {"e": "is offline since noon"},
            "e is offline since noon; it said last: failed version 2 since 5 min ago, 8 of 9 answered, 1 failed, "
            "the last 5 min ago, 2 dropped a: why",
        ),
    ],
)
def test_people_are_told_since_when_and_whether_it_is_still_so(absent: dict[str, str], told: str) -> None:
    """What an edge said that is away may have changed."""
    ago = datetime.fromtimestamp(datetime.now(UTC).timestamp() - 330, UTC)
    status = PipelineStatus(
        name="p",
        version=2,
        state=FAILED,
        reason="a: why",
        since=ago,
        failed_at=ago,
        received=9,
        answered=8,
        failed=1,
        dropped=2,
    )
    spec = PipelineSpec.model_validate({"name": "p", "nodes": [{"id": "in", "type": "mqtt_sub", "topic": "t"}]})
    assert edges_of(PipelineView(spec=spec, version=2, created_at=AT, edges={"e": status}, absent=absent)) == told
