"""Fits one JSON value to the type of its column. Pure."""

import math
from collections.abc import Callable
from datetime import UTC, datetime

import orjson

from schemas.collections import ColumnType
from schemas.errors import BadPayload

Value = str | int | float | bool | None
"""What a column holds."""

MAX_DEPTH = 100  # of a JSON value; whoever reads it later recurses into it
_INT64 = range(-(2**63), 2**63)
_EXACT_REAL = 2.0**53  # above it, a real no longer tells neighbouring integers apart


def fit(value: object, column_type: ColumnType) -> Value:
    """The value as the collection store keeps it; JSON's null fits every column.

    Raises:
        BadPayload: it does not fit; the message continues "column x …".
    """
    return None if value is None else _FIT[column_type](value)


def utc_text(moment: datetime) -> str:
    """A time as collections hold it: UTC, always 32 characters, so that texts sort as times do."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def shown(value: object, length: int = 60) -> str:
    """A parsed value for a message: as JSON, shortened."""
    try:
        text = orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # it writes fewer levels than it reads
        text = f"{type(value).__name__} of many levels"
    return text if len(text) <= length else text[: length - 3] + "..."


def _mismatch(value: object, wanted: str) -> BadPayload:
    kinds = {str: "text", bool: "boolean", int: "integer", float: "real", list: "array", dict: "object"}
    return BadPayload(f"should be {wanted}, but is {shown(value)} ({kinds.get(type(value), type(value).__name__)})")


def _text(value: object) -> Value:
    if not isinstance(value, str):
        raise _mismatch(value, "text")
    if "\x00" in value:
        raise BadPayload("holds a NUL character, which databases cut texts at")
    return value


def _integer(value: object) -> Value:
    if isinstance(value, float) and value.is_integer():
        if abs(value) > _EXACT_REAL:  # also what a number of more than 64 bits became when it was parsed
            raise BadPayload(f"is {shown(value)}, which is beyond the exact whole numbers")
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _mismatch(value, "integer")
    if value not in _INT64:
        raise BadPayload(f"is {shown(value)}, which needs more than 64 bits")
    return value


def _real(value: object) -> Value:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _mismatch(value, "real")
    if not math.isfinite(value):
        raise BadPayload(f"is {value}, and only finite numbers are kept")
    if float(value) != value:
        raise BadPayload(
            f"is {shown(value)}, a whole number that a real cannot hold exactly; an integer column holds 64 bits"
        )
    return float(value)


def _boolean(value: object) -> Value:
    if not isinstance(value, bool):
        raise _mismatch(value, "boolean")
    return value


def _timestamp(value: object) -> Value:
    if not isinstance(value, str):
        raise _mismatch(value, "timestamp, a text such as 2026-11-20T07:30:00+01:00")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise _mismatch(value, "timestamp such as 2026-11-20T07:30:00+01:00") from None
    if moment.tzinfo is None:
        raise BadPayload(f"is {shown(value)}, a time without an offset; add Z or one such as +01:00")
    try:
        return utc_text(moment)
    except OverflowError:
        raise BadPayload(f"is {shown(value)}, which in UTC is outside the years 1 to 9999") from None


def _json(value: object) -> Value:
    if _deeper_than(value, MAX_DEPTH):
        raise BadPayload(f"is nested deeper than {MAX_DEPTH} levels")
    return orjson.dumps(value).decode()


def _deeper_than(value: object, levels: int) -> bool:
    layer = [value]
    for _ in range(levels + 1):
        inner: list[object] = []
        for item in layer:
            if isinstance(item, dict):
                inner += item.values()
            elif isinstance(item, list):
                inner += item
        if not inner:
            return False
        layer = inner
    return True


_FIT: dict[ColumnType, Callable[[object], Value]] = {
    ColumnType.TEXT: _text,
    ColumnType.INTEGER: _integer,
    ColumnType.REAL: _real,
    ColumnType.BOOLEAN: _boolean,
    ColumnType.TIMESTAMP: _timestamp,
    ColumnType.JSON: _json,
}
