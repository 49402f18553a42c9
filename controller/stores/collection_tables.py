"""The collection store's tables: one for each collection, made from its declaration, and three of the store's own."""

from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Float, Identity, Index, Integer, MetaData, Table, Text
from sqlalchemy.types import TypeEngine, UserDefinedType

from schemas.collections import CollectionSpec, ColumnType

OWN = "tidemill$"
"""What the store's own tables begin with; no collection's name can hold a dollar sign."""


class JsonText(UserDefinedType[str]):
    """JSON kept as text. Its declared type tells query results which texts are JSON; SQLite itself sees TEXT in it."""

    cache_ok = True

    def get_col_spec(self, **_options: object) -> str:
        """The type in DDL. A plain JSON would have numeric affinity in SQLite, which changes texts like 1e5."""
        return "JSON_TEXT"


class PlainJson(JsonText):
    """The same on PostgreSQL. Its JSONB would refuse an escaped NUL, and write numbers and keys in its own way."""

    cache_ok = True

    def get_col_spec(self, **_options: object) -> str:
        """The type in DDL."""
        return "JSON"


_JSON = JsonText().with_variant(PlainJson(), "postgresql")
_WHOLE = BigInteger().with_variant(Integer(), "sqlite")  # on SQLite, only an INTEGER can number rows
_TIME = Text().with_variant(Text(collation="C"), "postgresql")  # UTC in ISO 8601 of one length, so it sorts

metadata = MetaData()

collections = Table(
    f"{OWN}collections",
    metadata,
    Column("name", Text, primary_key=True),
    Column("spec", Text, nullable=False),  # CollectionSpec as JSON
    Column("created", Text, nullable=False),
    Column("rows", _WHOLE, nullable=False, default=0),  # counted with each insert: counting a large table is slow
    Column("rejects", _WHOLE, nullable=False, default=0),  # all there ever were; the newest are kept
)

rejects = Table(
    f"{OWN}rejects",
    metadata,
    Column("id", _WHOLE, primary_key=True),
    Column("collection", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("payload", Text, nullable=False),
    sqlite_autoincrement=True,
)
Index(f"{OWN}rejects_of_collection", rejects.c.collection, rejects.c.id)

subscriptions = Table(
    f"{OWN}subscriptions",
    metadata,
    Column("collection", Text, primary_key=True),
    Column("filter", Text, primary_key=True),  # what the broker may still hold for the collection's session
)

spools = Table(
    f"{OWN}spools",
    metadata,
    Column("edge", Text, primary_key=True),
    Column("spool", Text, primary_key=True),
    Column("last", _WHOLE, nullable=False),  # the number of its last row that was taken
)

_TYPES: dict[ColumnType, TypeEngine[Any]] = {
    ColumnType.TEXT: Text(),
    ColumnType.INTEGER: _WHOLE,
    ColumnType.REAL: Float(),  # on both, of 64 bits
    ColumnType.BOOLEAN: Boolean(),
    ColumnType.TIMESTAMP: _TIME,
    ColumnType.JSON: _JSON,
}


def rows_table(spec: CollectionSpec) -> Table:
    """The table that holds a collection's rows. Positions only grow and are never given twice."""
    return _rows_table(spec.name, tuple(spec.columns.items()))


@lru_cache(maxsize=256)
def _rows_table(collection: str, columns: tuple[tuple[str, ColumnType], ...]) -> Table:
    # The same object for the same columns: for each other one, SQLAlchemy would compile and keep its statements anew.
    return Table(
        collection,
        MetaData(),
        # On PostgreSQL nobody can choose a position, not even one who writes into the table directly.
        Column("position", _WHOLE, Identity(always=True, cycle=False, cache=1), primary_key=True),
        Column("created", _TIME, nullable=False),
        *(declared_column(name, column_type) for name, column_type in columns),
        sqlite_autoincrement=True,
    )


def declared_column(name: str, column_type: ColumnType) -> Column[Any]:
    """One declared column; null is checked on the way in, since `required` may change later."""
    return Column(name, _TYPES[column_type], nullable=True)
