"""How a comparison of answers is printed."""

from collections.abc import Mapping
from dataclasses import asdict

import orjson

from tidemill.cli.output import print_json, print_table, say
from tidemill.replay.comparing import Comparison, Difference, Quantiles
from tidemill.replay.value_differences import ABSENT

SHOWN = 20
"""Differences that are printed one by one; --json has more."""

LONGEST_VALUE = 60  # characters of a value that a line has room for

_WORDS = {
    "label": "other labels",
    "value": "other values",
    "missing": "answers missing",
    "extra": "answers besides",
    "failed": "failed only with the second",
    "mended": "failed only with the first",
    "reason": "failed otherwise",
}


def print_comparison(comparison: Comparison, *, as_json: bool) -> None:
    """Tables for people, or one JSON object."""
    if as_json:
        print_json(_document(comparison))
        return
    kinds = ", ".join(f"{count} {_WORDS[kind]}" for kind, count in comparison.kinds.most_common())
    say(f"{comparison.messages} messages: {comparison.equal} equal, {comparison.different} different" + _after(kinds))
    if comparison.labels:
        heads = "TIMES", "TOPIC", "PATH", "LABEL BEFORE", "LABEL AFTER"
        print_table(heads, [[count, *place] for place, count in comparison.labels.most_common(SHOWN)])
    if comparison.farthest:
        print_table(("TOPIC", "PATH", "FARTHEST APART"), [[*place, far] for place, far in comparison.farthest.items()])
    if comparison.differences:
        shown = comparison.differences[:SHOWN]
        print_table(("MESSAGE", "WHAT", "TOPIC", "PATH", "BEFORE", "AFTER"), [_line(one) for one in shown])
        if (left := sum(comparison.kinds.values()) - len(shown)) > 0:
            say(f"and {left} more differences; --json has the first 1000")
    print_latencies({"before": comparison.before, "after": comparison.after})


def print_latencies(measured: Mapping[str, Quantiles | None]) -> None:
    """A line for each that was measured."""
    rows = [[name, *_milliseconds(quantiles)] for name, quantiles in measured.items() if quantiles]
    if rows:
        print_table(("LATENCY", "p50 ms", "p95 ms", "p99 ms", "LONGEST ms"), rows)


def _after(kinds: str) -> str:
    return f" ({kinds})" if kinds else ""


def _line(one: Difference) -> list[object]:
    return [one.number, one.kind, one.topic, one.path, _shortened(one.before), _shortened(one.after)]


def _shortened(value: object) -> str:
    if value is None or value is ABSENT:
        return "-"
    text = value if isinstance(value, str) else _json(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _json(value: object) -> str:
    return repr(value) if isinstance(value, bytes) else orjson.dumps(value).decode()


def _milliseconds(quantiles: Quantiles) -> list[float]:
    return [round(value, 3) for value in asdict(quantiles).values()]


def _document(comparison: Comparison) -> dict[str, object]:
    names = "topic", "path", "before", "after"
    before, after = comparison.before, comparison.after
    return {
        "messages": comparison.messages,
        "equal": comparison.equal,
        "different": comparison.different,
        "kinds": dict(comparison.kinds),
        "labels": [{**dict(zip(names, place, strict=True)), "times": n} for place, n in comparison.labels.items()],
        "numbers": [{"topic": t, "path": path, "farthest": far} for (t, path), far in comparison.farthest.items()],
        "differences": [_object(one) for one in comparison.differences],
        "latency_ms": {
            "before": asdict(before) if before else None,
            "after": asdict(after) if after else None,
        },
    }


def _object(one: Difference) -> dict[str, object]:
    """A difference; where there is no value, there is no key, so that it differs from a null."""
    found: dict[str, object] = {"message": one.number, "kind": one.kind, "topic": one.topic, "path": one.path}
    for name, value in (("before", one.before), ("after", one.after)):
        if value is not ABSENT:
            found[name] = repr(value) if isinstance(value, bytes) else value
    return found
