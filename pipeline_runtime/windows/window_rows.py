"""What a window takes from a message: a key, a time and values, and what it gives when it is over."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from math import inf, isfinite

import orjson

from pipeline_runtime.language.expressions import Expression
from pipeline_runtime.nodes.window import Params, Value
from pipeline_runtime.running.run import Run
from pipeline_runtime.windows.aggregates import (
    Aggregate,
    Count,
    Deviation,
    Extreme,
    First,
    Last,
    Mean,
    Quantile,
    Rows,
    Sum,
)
from pipeline_runtime.windows.windows import Closed
from schemas.errors import BadPayload

_SINCE = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST = 2**62  # of whole numbers; beyond, they are floats
_EARLIEST, _LATEST = -2_208_988_800_000_000, 221_845_392_000_000_000  # the years 1900 and 9000, in µs
_PLAIN: Mapping[str, Callable[[], Aggregate]] = {
    "count": Count,
    "sum": Sum,
    "mean": Mean,
    "min": lambda: Extreme(min),
    "max": lambda: Extreme(max),
    "first": First,
    "last": Last,
    "stddev": Deviation,
    "median": lambda: Quantile(0.5),
    "rows": Rows,
}


def aggregate_of(value: Value) -> Aggregate:
    """What reckons it."""
    return Quantile(value.q) if value.q is not None else _PLAIN[value.use]()


class WindowRows:
    """Reads rows and tells results, as a node's parameters say."""

    def __init__(self, params: Params) -> None:
        self.aggregates = [aggregate_of(value) for value in params.values.values()]
        self._names = tuple(params.values)
        texts = {value.of or "$": None for value in params.values.values()}
        self._expressions = [Expression(text) for text in texts]  # each once, however many values are made of it
        places = {text: place for place, text in enumerate(texts)}
        self._places = [places[value.of or "$"] for value in params.values.values()]
        self._time = Expression(params.time) if params.time else None
        self._by = Expression(params.by) if params.by else None
        self._ahead = round(params.ahead * 1e6) if params.ahead else None
        self._has_times = params.count is None

    def read(self, value: object, run: Run, now: int) -> tuple[str, int, list[object]]:
        """Key, time and values of a message; ``now`` is the clock, in µs since 1970.

        Raises:
            BadPayload: it has no such key or time, or a value that is no number where one is needed.
        """
        topic, levels = run.message.topic, run.values
        key = "" if self._by is None else _key(self._by.text, self._by.evaluate(value, topic, levels))
        at = now if self._time is None else self._at(self._time.evaluate(value, topic, levels), now)
        given = [expression.evaluate(value, topic, levels) for expression in self._expressions]
        values = [given[place] for place in self._places]
        checked = zip(self.aggregates, self._names, values, strict=True)
        return key, at, [None if one is None else _kept(aggregate, name, one) for aggregate, name, one in checked]

    def _at(self, given: object, now: int) -> int:
        at = _microseconds(given)
        if self._ahead is not None and at - now > self._ahead:
            raise BadPayload(f"the time {_shown(given)} is further ahead of the clock than `ahead` allows")
        return at

    def result(self, window: Closed, late: int) -> dict[str, object]:
        """What is told of a window, and how many rows came too late since the one before."""
        told: dict[str, object] = {"key": orjson.loads(window.key)} if self._by is not None else {}
        if self._has_times:
            told |= {"start": _iso(window.start), "end": _iso(window.end)}
        told["count"] = window.rows
        told |= zip(self._names, window.values, strict=True)
        return told | ({"late": late} if self._time is not None else {})


def _kept(aggregate: Aggregate, name: str, one: object) -> object:
    """A value that lies on disk as it is. Raises BadPayload for what cannot, or is no number where one is needed."""
    if not aggregate.numbers:
        if _json(one) is None:
            raise BadPayload(f"values.{name}: {_shown(one)} has no form in JSON")
        return one
    if isinstance(one, bool) or not isinstance(one, int | float):
        raise BadPayload(f"values.{name}: {_shown(one)} is no number")
    try:
        number = one if -_LARGEST < one < _LARGEST else float(one)
    except OverflowError:
        number = inf
    if not isfinite(number):
        raise BadPayload(f"values.{name}: {_shown(one)} lies beyond all numbers that can be reckoned with")
    return number


def _json(value: object) -> bytes | None:
    try:
        return orjson.dumps(value)
    except TypeError:  # such as bytes, or whole numbers of more than 64 bits
        return None


def _key(text: str, key: object) -> str:
    if isinstance(key, float) and key.is_integer():
        key = int(key)
    if not isinstance(key, str | int | float):
        raise BadPayload(f"by: {text} gives {_shown(key)}, which is no key; make it a text, a number or a truth value")
    written = _json(key)
    if written is None or written == b"null":
        raise BadPayload(f"by: {text} gives {_shown(key)}, which has no form in JSON")
    return written.decode()


def _microseconds(given: object) -> int:
    if isinstance(given, int | float) and not isinstance(given, bool):
        at = round(given * 1e6)
    elif isinstance(given, str):
        try:
            moment = datetime.fromisoformat(given)
        except ValueError as error:
            raise BadPayload(f"time: {given!r} is no ISO 8601 time") from error
        at = ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _SINCE) // timedelta(microseconds=1)
    else:
        raise BadPayload(f"time: {_shown(given)} is no time; give seconds since 1970, or an ISO 8601 text")
    if not _EARLIEST <= at <= _LATEST:
        raise BadPayload(f"time: {_shown(given)} lies outside the years 1900 to 9000; is it in milliseconds?")
    return at


def _iso(at: int) -> str:
    return (_SINCE + timedelta(microseconds=at)).isoformat()


def _shown(value: object) -> str:
    text = (_json(value) or repr(value).encode()).decode()
    return text if len(text) <= 80 else f"{text[:79]}…"
