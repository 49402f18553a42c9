"""What is known of a pipeline: told by the worker it has, and counted over those it had."""

from datetime import UTC, datetime

from edge_agent.serving.replicas import pipeline_of
from edge_agent.worker.worker_protocol import WorkerStatus
from schemas.report import PipelineState, PipelineStatus

_NOTHING: dict[str, object] = {
    "failed_at": None,
    "received": 0,
    "answered": 0,
    "failed": 0,
    "dropped": 0,
    "nodes": {},
    "since_swap": None,
}


class Standing:
    """How one pipeline does, over all its workers."""

    def __init__(self, name: str) -> None:
        self.told = WorkerStatus(state=PipelineState.STARTING)
        self._since = datetime.now(UTC)  # of the state
        self._name = name
        self._past = self.told  # of its counters alone
        self._restarts = 0

    def tell(self, status: WorkerStatus) -> bool:
        """Take what the worker says; whether there is more news in it than its counters."""
        before = self.told
        self._change(status)
        return before.model_copy(update=_NOTHING) != status.model_copy(update=_NOTHING)

    def worker_ended(self, reason: str) -> str:
        """The worker ended unasked; returns why: the reason that it gave itself is better than what was seen of it."""
        if self.told.state is PipelineState.FAILED:
            reason = self.told.reason
        self._past = self._sum()
        self._restarts += 1
        self._change(WorkerStatus(state=PipelineState.FAILED, reason=reason))
        return reason

    def worker_replaced(self) -> None:
        """The worker was ended to start another one."""
        self._past = self._sum()
        self._change(WorkerStatus(state=PipelineState.STARTING))

    def status(self, wanted_version: int) -> PipelineStatus:
        """What the report says."""
        counters = self._sum()
        return PipelineStatus(
            name=pipeline_of(self._name),
            version=self.told.version or wanted_version,
            state=self.told.state,
            reason=self.told.reason,
            since=self._since,
            failed_at=self.told.failed_at,
            content_id=self.told.content_id,
            since_swap=self.told.since_swap,
            models=self.told.models,
            received=counters.received,
            answered=counters.answered,
            failed=counters.failed,
            dropped=counters.dropped,
            nodes=self.told.nodes,
            restarts=self._restarts,
        )

    def _change(self, told: WorkerStatus) -> None:
        if told.state is not self.told.state:
            self._since = datetime.now(UTC)
        self.told = told

    def _sum(self) -> WorkerStatus:
        return WorkerStatus(
            state=self.told.state,
            received=self._past.received + self.told.received,
            answered=self._past.answered + self.told.answered,
            failed=self._past.failed + self.told.failed,
            dropped=self._past.dropped + self.told.dropped,
        )
