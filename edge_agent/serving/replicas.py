"""The workers of a pipeline that has several: what they are called, and how they do together."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from edge_agent.shelf.ready import ReadyPipeline
from schemas.report import PipelineState, PipelineStatus, SinceSwap

_WORST_FIRST = (
    PipelineState.FAILED,
    PipelineState.STARTING,
    PipelineState.DEGRADED,
    PipelineState.LISTENING,
    PipelineState.IDLE,
)


def worker_names(pipeline: str, replicas: int) -> tuple[str, ...]:
    """Their names: the first has the pipeline's own; no pipeline's name has a tilde."""
    return (pipeline, *(f"{pipeline}~{number}" for number in range(2, replicas + 1)))


def pipeline_of(worker: str) -> str:
    """The pipeline that a worker belongs to."""
    return worker.split("~", maxsplit=1)[0]


def as_replica(pipeline: ReadyPipeline) -> ReadyPipeline:
    """The pipeline as one of several workers has it, whether or not it is to have several now."""
    spec = pipeline.spec.model_copy(update={"replicas": max(2, pipeline.spec.replicas)})
    return replace(pipeline, spec=spec)


def together(statuses: Sequence[PipelineStatus]) -> PipelineStatus:
    """One status for all workers of a pipeline: it does as well as the worst of them, and what they did is added up."""
    if len(statuses) == 1:
        return statuses[0]
    worst = min(statuses, key=lambda status: _WORST_FIRST.index(status.state))
    which = statuses.index(worst) + 1
    reason = worst.reason and f"replica {which} of {len(statuses)}: {worst.reason}"
    sums = {
        counter: sum(getattr(status, counter) for status in statuses)
        for counter in ("received", "answered", "failed", "dropped", "restarts")
    }
    sums["failed_at"] = max((status.failed_at for status in statuses if status.failed_at), default=None)
    return worst.model_copy(
        update={**sums, "reason": reason, "since_swap": _since_swap(statuses)} | _answering(statuses)
    )


def _answering(statuses: Sequence[PipelineStatus]) -> dict[str, object]:
    """While some are swapped and others are not yet: what those have that have it for longest."""
    longest = min((status for status in statuses if status.since_swap), key=_began, default=statuses[0])
    return {"content_id": longest.content_id, "version": longest.version, "models": longest.models}


def _began(status: PipelineStatus) -> datetime:
    return status.since_swap.since if status.since_swap else datetime.max.replace(tzinfo=UTC)


def _since_swap(statuses: Sequence[PipelineStatus]) -> SinceSwap | None:
    """Of all that answer, since all do: the slowest counts."""
    told = [status.since_swap for status in statuses if status.since_swap]
    if not told:
        return None
    return SinceSwap(
        since=max(one.since for one in told),
        answered=sum(one.answered for one in told),
        failed=sum(one.failed for one in told),
        p95_s=max(one.p95_s for one in told),
    )
