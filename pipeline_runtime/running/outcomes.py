"""The last messages that went through a pipeline, for people who want to see what it does."""

from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from time import time
from typing import NamedTuple

from pipeline_runtime.node_type import SKIPPED, Branches
from pipeline_runtime.running.run import PENDING, Run
from pipeline_runtime.values.payloads import shown
from schemas.outcomes import MOST_OUTCOMES
from schemas.pipelines import NodeOutcome, Outcome

SHOWN_CHARACTERS = 2_000  # of each value


class _Ended(NamedTuple):  # one is made for each message: a dataclass takes several times as long
    at_s: float  # of the epoch
    version: int
    topic: str
    payload: bytes
    nodes: tuple[str, ...]
    results: Sequence[object]
    durations_ns: Sequence[int]
    failed_at: str
    error: str


class Outcomes:
    """What became of the last messages. Values are made readable only when somebody asks."""

    def __init__(self) -> None:
        self._ended: deque[_Ended] = deque(maxlen=MOST_OUTCOMES)

    def add(self, run: Run) -> None:
        """A run has ended."""
        self._ended.append(
            _Ended(
                at_s=time(),
                version=run.lane.loaded.version,
                topic=run.message.topic,
                payload=run.message.payload,
                nodes=run.lane.ids,
                results=run.results,
                durations_ns=run.durations_ns,
                failed_at=run.failure.node if run.failure else "",
                error=run.failure.reason if run.failure else "",
            )
        )

    def newest(self, count: int = MOST_OUTCOMES) -> tuple[Outcome, ...]:
        """The last of them, newest first."""
        return tuple(_readable(ended) for ended in list(self._ended)[::-1][:count])


def _readable(ended: _Ended) -> Outcome:
    nodes = zip(ended.nodes, ended.results, ended.durations_ns, strict=True)
    return Outcome(
        at=datetime.fromtimestamp(ended.at_s, UTC),
        version=ended.version,
        topic=ended.topic,
        payload=shown(ended.payload, SHOWN_CHARACTERS),
        nodes=tuple(_node(name, result, duration_ns) for name, result, duration_ns in nodes),
        failed_at=ended.failed_at,
        error=ended.error,
    )


def _node(name: str, result: object, duration_ns: int) -> NodeOutcome:
    if result is PENDING:
        return NodeOutcome(node=name, state="not run")
    if result is SKIPPED:
        return NodeOutcome(node=name, state="skipped")
    value = dict(result.values) if isinstance(result, Branches) else result
    return NodeOutcome(node=name, state="done", result=shown(value, SHOWN_CHARACTERS), duration_s=duration_ns / 1e9)
