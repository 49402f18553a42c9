"""What people are shown of what an edge serves."""

from datetime import UTC, datetime, timedelta

from schemas.report import (
    Capabilities,
    ModelState,
    ModelStatus,
    PipelineState,
    PipelineStatus,
    Report,
    Returned,
    SinceSwap,
)
from tidemill.cli.edge_serving import served_lines


def test_it_is_told_what_answers_since_when_and_what_did_not_do() -> None:
    """The swap, how it does since, and the content that the edge went back from, each in a line."""
    now = datetime.now(UTC)
    status = PipelineStatus(
        name="scoring",
        version=3,
        state=PipelineState.DEGRADED,
        reason="went back from version 4: too slow",
        models={"iris": 1},
        since_swap=SinceSwap(since=now - timedelta(hours=2), answered=10, failed=1, p95_s=0.0125),
        returned=Returned(
            content_id="c", version=4, models={"iris": 2}, reason="too slow", at=now - timedelta(minutes=5)
        ),
    )
    starting = PipelineStatus(name="other", version=1, state=PipelineState.STARTING)
    report = Report(
        edge="press-1",
        session_id="s",
        generation=1,
        agent_version="1",
        started_at=now,
        capabilities=Capabilities(executors=("process",), cpus=1, memory_bytes=1, platform="x"),
        models=(ModelStatus(name="iris", version=1, state=ModelState.READY),),
        pipelines=(status, starting),
        disk_free_bytes=1,
        load=0,
    )
    assert list(served_lines(report)) == [
        "model iris:1 ready",
        "pipeline scoring:3 degraded went back from version 4: too slow",
        "  answers so since 2 h ago with iris version 1: 10 answered, 1 failed, 95 % within 12.5 ms",
        "  went back from version 4 with iris version 2 5 min ago: too slow",
        "pipeline other:1 starting",
    ]
