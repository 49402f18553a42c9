"""The last messages that went through a pipeline, for people who want to see what it does."""

from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from time import time

from pipeline_runtime.broker import Message
from pipeline_runtime.node_type import SKIPPED, Branches
from pipeline_runtime.running.lane import PENDING
from pipeline_runtime.running.run import Run
from pipeline_runtime.values.payloads import shown
from schemas.outcomes import MOST_OUTCOMES
from schemas.pipelines import NodeOutcome, Outcome

SHOWN_CHARACTERS = 2_000  # of each value


_Ended = tuple[float, int, tuple[str, ...], Message, Sequence[object], Sequence[int], tuple[str, str]]
"""Second of the epoch, version, the nodes, the message; by the nodes' places results and ns; failed node and reason.

One is made for each message, and named fields take several times as long.
"""

_NO_FAILURE = ("", "")


class Outcomes:
    """What became of the last messages. Values are made readable only when somebody asks."""

    def __init__(self) -> None:
        self._ended: deque[_Ended] = deque(maxlen=MOST_OUTCOMES)

    def add(self, run: Run) -> None:
        """A run has ended."""
        failure, lane = run.failure, run.lane
        failed = (failure.node, failure.reason) if failure is not None else _NO_FAILURE
        self._ended.append((time(), lane.loaded.version, lane.ids, run.message, run.results, run.durations_ns, failed))

    def newest(self, count: int = MOST_OUTCOMES) -> tuple[Outcome, ...]:
        """The last of them, newest first."""
        return tuple(_readable(ended) for ended in list(self._ended)[::-1][:count])


def _readable(ended: _Ended) -> Outcome:
    at_s, version, ids, message, results, durations_ns, (failed_at, error) = ended
    nodes = zip(ids, results, durations_ns, strict=True)
    return Outcome(
        at=datetime.fromtimestamp(at_s, UTC),
        version=version,
        topic=message.topic,
        payload=shown(message.payload, SHOWN_CHARACTERS),
        nodes=tuple(_node(name, result, duration_ns) for name, result, duration_ns in nodes),
        failed_at=failed_at,
        error=error,
    )


def _node(name: str, result: object, duration_ns: int) -> NodeOutcome:
    if result is PENDING:
        return NodeOutcome(node=name, state="not run")
    if result is SKIPPED:
        return NodeOutcome(node=name, state="skipped")
    value = dict(result.values) if isinstance(result, Branches) else result
    return NodeOutcome(node=name, state="done", result=shown(value, SHOWN_CHARACTERS), duration_s=duration_ns / 1e9)
