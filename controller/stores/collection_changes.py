"""What may change when a collection is declared again: columns and topics are added, nothing that rows rely on goes."""

from collections.abc import Iterable
from itertools import combinations

from sqlalchemy import Connection
from sqlalchemy.schema import CreateColumn

from controller.stores.collection_tables import declared_column
from schemas.collections import CollectionSpec, ColumnType
from schemas.errors import BadInput, Conflict
from schemas.topics import overlap


def check_topics(spec: CollectionSpec) -> None:
    """Refuse topic filters that overlap: a broker may deliver a message once for each. Raises BadInput."""
    for first, second in combinations(spec.topics, 2):
        if overlap(first, second):
            raise BadInput(
                f"collection {spec.name}: topics {first!r} and {second!r} overlap, "
                "and what both take could become two rows; keep the wider one"
            )


def check_new(spec: CollectionSpec, *, others: Iterable[str]) -> None:
    """Refuse a name that the database cannot tell from another's.

    Raises:
        Conflict: another collection's name differs by case only.
        BadInput: the name is SQLite's own.
    """
    if spec.name.lower().startswith("sqlite_"):
        raise BadInput(f"collection {spec.name}: names that begin with sqlite_ are the database's own")
    for other in others:
        if other.lower() == spec.name.lower():
            raise Conflict(f"collection {spec.name}: there is {other}, and SQL does not tell upper from lower case")


def added_columns(before: CollectionSpec, after: CollectionSpec) -> dict[str, ColumnType]:
    """The columns that a new declaration adds.

    Raises:
        Conflict: it changes or leaves out a column, or adds one that differs from another by case only.
    """
    for name, column_type in before.columns.items():
        if name not in after.columns:
            raise Conflict(
                f"collection {after.name}: column {name} ({column_type}) is left out; "
                "columns can be added, and neither removed nor renamed"
            )
        if after.columns[name] is not column_type:
            raise Conflict(
                f"collection {after.name}: column {name} is {column_type} and cannot become {after.columns[name]}; "
                "add a column of another name"
            )
    return {name: column_type for name, column_type in after.columns.items() if name not in before.columns}


def add_columns(connection: Connection, *, collection: str, columns: dict[str, ColumnType]) -> None:
    """Add columns in the caller's transaction; they are null in the rows that are there."""
    quoted = connection.dialect.identifier_preparer.quote(collection)
    for name, column_type in columns.items():
        definition = CreateColumn(declared_column(name, column_type)).compile(dialect=connection.dialect)
        connection.exec_driver_sql(f"ALTER TABLE {quoted} ADD COLUMN {definition}")
