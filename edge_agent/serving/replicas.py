"""The workers of a pipeline that has several: what they are called, and how they do together."""

from collections.abc import Sequence

from schemas.report import PipelineState, PipelineStatus

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
    return worst.model_copy(update={**sums, "reason": reason})
