"""The collection store's tables: one for each collection, made from its declaration, and three of the store's own."""

from functools import lru_cache
from typing import Any

from sqlalchemy import Boolean, Column, Float, Index, Integer, MetaData, Table, Text
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


metadata = MetaData()

collections = Table(
    f"{OWN}collections",
    metadata,
    Column("name", Text, primary_key=True),
    Column("spec", Text, nullable=False),  # CollectionSpec as JSON
    Column("created", Text, nullable=False),
    Column("rows", Integer, nullable=False, default=0),  # counted with each insert: counting a large table is slow
    Column("rejects", Integer, nullable=False, default=0),  # all there ever were; the newest are kept
)

rejects = Table(
    f"{OWN}rejects",
    metadata,
    Column("id", Integer, primary_key=True),
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

_TYPES: dict[ColumnType, TypeEngine[Any]] = {
    ColumnType.TEXT: Text(),
    ColumnType.INTEGER: Integer(),
    ColumnType.REAL: Float(),
    ColumnType.BOOLEAN: Boolean(),
    ColumnType.TIMESTAMP: Text(),  # UTC in ISO 8601 of one length, so it sorts
    ColumnType.JSON: JsonText(),
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
        Column("position", Integer, primary_key=True, autoincrement=True),
        Column("created", Text, nullable=False),
        *(declared_column(name, column_type) for name, column_type in columns),
        sqlite_autoincrement=True,
    )


def declared_column(name: str, column_type: ColumnType) -> Column[Any]:
    """One declared column; null is checked on the way in, since `required` may change later."""
    return Column(name, _TYPES[column_type], nullable=True)
