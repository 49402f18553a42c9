"""Compares what two pipelines, or two models in one, made of the same messages."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Literal

from schemas.errors import BadInput
from tidemill.replay.answers import Answer, Outcome
from tidemill.replay.value_differences import Tolerance, ValueDifference, decoded, value_differences

KEPT = 1000
"""Differences that are told one by one; all are counted."""

Kind = Literal["label", "value", "missing", "extra", "failed", "mended", "reason"]
"""A label or another value changed; an answer is missing, or came besides; only the second failed, or only the first;
both failed, at another node or for another reason."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not the same."""

    number: int  # of the message
    kind: Kind
    topic: str  # of the answer; of the message where it failed
    path: str  # inside the answer
    before: object
    after: object


@dataclass(frozen=True, slots=True)
class Quantiles:
    """How long answers took, in milliseconds."""

    p50: float
    p95: float
    p99: float
    longest: float


@dataclass(slots=True)
class Comparison:
    """What is not the same, message by message and in sum."""

    messages: int = 0
    equal: int = 0
    kinds: Counter[Kind] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)  # the first ones
    labels: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)  # topic, path, before, after
    farthest: dict[tuple[str, str], float] = field(default_factory=dict)  # topic, path → how far numbers are apart
    latencies: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))  # before and after, in ms

    @property
    def different(self) -> int:
        """Messages that the two made something else of."""
        return self.messages - self.equal

    @property
    def before(self) -> Quantiles | None:
        """How long the first took; None if nothing was compared."""
        return quantiles(self.latencies[0])

    @property
    def after(self) -> Quantiles | None:
        """The same of the second."""
        return quantiles(self.latencies[1])

    def add(self, before: Outcome, after: Outcome, tolerance: Tolerance) -> None:
        """Compare what came of one message."""
        for latencies, outcome in zip(self.latencies, (before, after), strict=True):
            latencies.append(outcome.latency_ms)
        self._note(list(_differences(before, after, tolerance)))

    def _note(self, found: list[Difference]) -> None:
        self.messages += 1
        self.equal += not found
        for one in found:
            self.kinds[one.kind] += 1
            if len(self.differences) < KEPT:
                self.differences.append(one)
            place = one.topic, one.path
            if one.kind == "label":
                self.labels[(*place, str(one.before), str(one.after))] += 1
            distance = ValueDifference(one.path, one.before, one.after).distance if one.kind == "value" else None
            if distance is not None:
                self.farthest[place] = max(distance, self.farthest.get(place, 0.0))


def compare(before: Iterable[Outcome], after: Iterable[Outcome], tolerance: Tolerance) -> Comparison:
    """Compare message by message.

    Raises:
        BadInput: the two are not about the same messages.
    """
    comparison = Comparison()
    for left, right in zip_longest(before, after):
        if left is None or right is None or (left.number, left.topic) != (right.number, right.topic):
            raise BadInput(f"these are no answers to the same messages: {_name(left)} against {_name(right)}")
        comparison.add(left, right, tolerance)
    return comparison


def quantiles(values: list[float]) -> Quantiles | None:
    """Of at least one value, by the nearest rank; None of none."""
    if not values:
        return None
    ranked = sorted(values)
    ranks = (min(len(ranked) - 1, int(len(ranked) * part)) for part in (0.5, 0.95, 0.99))
    p50, p95, p99 = (ranked[rank] for rank in ranks)
    return Quantiles(p50, p95, p99, ranked[-1])


def _differences(before: Outcome, after: Outcome, tolerance: Tolerance) -> Iterator[Difference]:
    number, old, new = before.number, before.failure, after.failure
    if old != new:
        kind: Kind = "failed" if old is None else "mended" if new is None else "reason"
        told = ("" if failure is None else f"{failure.node}: {failure.reason}" for failure in (old, new))
        yield Difference(number, kind, before.topic, "", *told)
    for topic in dict.fromkeys(answer.topic for answer in (*before.answers, *after.answers)):
        pairs = zip_longest(_on(topic, before), _on(topic, after))
        for left, right in pairs:
            yield from _answer_differences(number, topic, left, right, tolerance)


def _answer_differences(
    number: int, topic: str, before: Answer | None, after: Answer | None, tolerance: Tolerance
) -> Iterator[Difference]:
    old, new = (None if answer is None else decoded(answer.message) for answer in (before, after))
    if after is None:
        yield Difference(number, "missing", topic, "", old, None)
    elif before is None:
        yield Difference(number, "extra", topic, "", None, new)
    elif before.payload != after.payload or before.encoding != after.encoding:
        for one in value_differences(old, new, tolerance):
            kind: Kind = "label" if one.is_label else "value"
            yield Difference(number, kind, topic, one.path, one.before, one.after)


def _on(topic: str, outcome: Outcome) -> list[Answer]:
    return [answer for answer in outcome.answers if answer.topic == topic]


def _name(outcome: Outcome | None) -> str:
    return f"message {outcome.number} on {outcome.topic}" if outcome else "none"
