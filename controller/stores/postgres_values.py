"""What PostgreSQL's values are in Python: the same types that SQLite's queries give."""

from typing import TYPE_CHECKING

import orjson
from psycopg.adapt import Buffer, Loader
from psycopg.errors import DataError
from psycopg.types.datetime import TimestamptzLoader
from psycopg.types.string import TextLoader

from controller.data.column_values import utc_text

if TYPE_CHECKING:
    from psycopg.abc import AdaptContext

_AS_TEXT = (
    *("date", "time", "timetz", "timestamp", "interval", "uuid", "inet", "cidr", "macaddr", "macaddr8", "oid", "xid8"),
    *(f"{kind}{many}" for kind in ("int4", "int8", "num", "date", "ts", "tstz") for many in ("range", "multirange")),
)


def load_as_sqlite_does(context: "AdaptContext") -> None:
    """Let a connection's results hold text, numbers, booleans, bytes, parsed JSON and arrays of these alone."""
    adapters = context.adapters
    assert adapters is not None  # noqa: S101 - every connection has them
    for name in _AS_TEXT:
        adapters.register_loader(name, TextLoader)
    adapters.register_loader("numeric", _Number)
    adapters.register_loader("timestamptz", _Moment)
    for name in ("json", "jsonb"):
        adapters.register_loader(name, _Json)


class _Number(Loader):
    """A numeric: a whole number if it has no decimals, as a sum of whole numbers has none, and else a real."""

    def load(self, data: Buffer) -> int | float:
        text = bytes(data)
        if text.lstrip(b"-").isdigit() and abs(whole := int(text)) < 2**63:
            return whole
        return float(text)


class _Moment(TimestamptzLoader):
    """A time with a zone: UTC text as collections hold it."""

    def load(self, data: Buffer) -> str:  # type: ignore[override]
        try:
            return utc_text(super().load(data))
        except DataError:  # infinity, or before the year 1
            return bytes(data).decode()


class _Json(Loader):
    def load(self, data: Buffer) -> object:
        return orjson.loads(bytes(data))
