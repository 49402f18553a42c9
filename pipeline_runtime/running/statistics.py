"""How often nodes ran and messages passed, how long that took, and how often it failed: kept in a few numbers."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate

from schemas.pipelines import NodeFigures

_BUCKETS = 65  # for whatever 64 bits hold: so none has to be looked for


@dataclass(slots=True)
class Counters:
    """What an engine has done so far."""

    received: int = 0
    answered: int = 0
    failed: int = 0
    last_failure: str = ""  # node and reason
    failed_at: datetime | None = None  # when that was


@dataclass(slots=True)
class NodeStatistics:
    """Of one node. ``durations[n]`` counts the times that took from 2**(n-1) to 2**n ns."""

    durations: list[int] = field(default_factory=lambda: [0] * _BUCKETS)
    total_ns: int = 0
    failed: int = 0
    skipped: int = 0

    def took(self, duration_ns: int) -> None:
        """It gave a result after that time."""
        self.total_ns += duration_ns
        self.durations[duration_ns.bit_length()] += 1

    def figures(self, notes: Mapping[str, float]) -> NodeFigures:
        """What people are shown, with what the node itself has counted."""
        ran = sum(self.durations)
        half, most = _reached(self.durations, (0.50 * ran, 0.99 * ran)) if ran else (0, 0)
        return NodeFigures(
            ran=ran,
            failed=self.failed,
            skipped=self.skipped,
            mean_s=self.total_ns / ran / 1e9 if ran else 0.0,
            p50_s=2.0**half / 1e9 if ran else 0.0,  # the upper end of its bucket: at most twice the true value
            p99_s=2.0**most / 1e9 if ran else 0.0,
            notes=dict(notes),
        )


@dataclass(slots=True)
class WayStatistics:
    """Of the messages that one loaded pipeline took; four buckets for each doubling of their time."""

    durations: list[int] = field(default_factory=lambda: [0] * (4 * _BUCKETS))
    answered: int = 0
    failed: int = 0

    def took(self, duration_ns: int) -> None:
        """One was answered after that time."""
        self.answered += 1
        power = duration_ns.bit_length()
        if power < 3:
            return  # no message takes so little
        self.durations[4 * power + (duration_ns >> (power - 3)) - 4] += 1

    def quantile_s(self, share: float) -> float:
        """In that time so large a part of them was answered: at most a quarter more than the true value."""
        if not any(self.durations):
            return 0.0
        (bucket,) = _reached(self.durations, (share * self.answered,))
        power, quarter = divmod(bucket, 4)
        return float(2.0 ** (power - 3) * (5 + quarter)) / 1e9


def _reached(durations: Sequence[int], counts: Sequence[float]) -> list[int]:
    """The buckets in which so many are reached. Whoever asks holds up messages meanwhile: no loop of ours."""
    sums = list(accumulate(durations))
    return [bisect_left(sums, min(max(count, 1), sums[-1])) for count in counts]
