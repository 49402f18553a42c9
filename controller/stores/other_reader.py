"""Runs people's queries on any database that SQLAlchemy knows, in a read-only transaction where that has one."""

import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from controller.data.column_values import utc_text
from controller.stores.collection_reader import Reader, Result
from schemas.errors import BadInput, Unreachable

_ROWS_AT_ONCE = 100

# What makes a session read only and bounds the time of its statements, where there is such a thing.
_FIRST = {
    "mysql": ("SET SESSION TRANSACTION READ ONLY", "SET SESSION max_execution_time = {milliseconds}"),
    "mariadb": ("SET SESSION TRANSACTION READ ONLY", "SET SESSION max_statement_time = {seconds}"),
    "oracle": ("SET TRANSACTION READ ONLY",),
    "mssql": ("SET LOCK_TIMEOUT 10000",),
}


@dataclass(frozen=True, slots=True)
class OtherReader:
    """A ``Reader`` of a database of which all that holds is what its account may do, and the check of the text."""

    connection: Connection
    timeout_s: float
    schema: str = ""

    def last_position(self, collection: str) -> int:
        """There are no collections. Raises BadInput."""
        raise BadInput(f"there is no collection {collection}")

    def waits_for(self, collection: str) -> str:  # noqa: ARG002 - there are none
        """See ``Reader``."""
        return ""

    def prepare(self, sql: str, collections: Collection[str] = (), own: Collection[str] = ()) -> None:
        """See ``Reader``; SQL has no common word for it, so that it asks for no rows."""
        with self.run(f"SELECT * FROM (\n{sql}\n) looked_at WHERE 1 = 0", collections, own):  # noqa: S608 - it is SQL
            pass

    @contextmanager
    def run(
        self,
        sql: str,
        collections: Collection[str] = (),  # noqa: ARG002 - there are none
        own: Collection[str] = (),  # noqa: ARG002
    ) -> Iterator[Result]:
        """See ``Reader``."""
        ends_at = time.monotonic() + self.timeout_s
        # Without parameters, so that a percent sign stands for itself.
        options = {"stream_results": True, "max_row_buffer": _ROWS_AT_ONCE, "no_parameters": True}
        try:
            with self.connection.exec_driver_sql(sql, execution_options=options) as result:
                yield Result(tuple(result.keys()), self._rows(result, ends_at))
        except SQLAlchemyError as error:
            if isinstance(error, DBAPIError) and error.connection_invalidated:
                raise Unreachable(f"the database cannot be read: {error.orig}") from error
            if time.monotonic() > ends_at:
                raise BadInput(f"the query took more than {self.timeout_s:g} s and was stopped") from error
            raise BadInput(f"the query failed: {getattr(error, 'orig', error)}") from error

    def _rows(self, result: Iterable[Iterable[Any]], ends_at: float) -> Iterator[tuple[object, ...]]:
        for row in result:
            if time.monotonic() > ends_at:
                raise BadInput(f"the query took more than {self.timeout_s:g} s and was stopped")
            yield tuple(_plain(value) for value in row)


@contextmanager
def open_other(url: URL, *, timeout_s: float) -> Iterator[Reader]:
    """Open a transaction that is undone in the end.

    Raises:
        Unreachable: the database does not answer, or refuses the account.
    """
    engine = create_engine(url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            # A MariaDB answers to the name of MySQL, too.
            system = "mariadb" if getattr(connection.dialect, "is_mariadb", False) else connection.dialect.name
            for statement in _FIRST.get(system, ()):
                connection.exec_driver_sql(statement.format(milliseconds=int(timeout_s * 1000), seconds=timeout_s))
            if system != "oracle":  # there, it began with the first statement
                connection.rollback()
            yield OtherReader(connection, timeout_s)
    except (OperationalError, InterfaceError) as error:
        where = url.render_as_string(hide_password=True)
        raise Unreachable(f"{where} cannot be read: {error.orig}") from error
    finally:
        engine.dispose()


def _plain(value: object) -> object:
    """A value as the other readers give it."""
    match value:
        case Decimal():
            return int(value) if value == value.to_integral_value() and abs(value) < 2**63 else float(value)
        case datetime() if value.tzinfo is not None:
            return utc_text(value)
        case datetime() | date() | time_of_day():
            return value.isoformat()
        case timedelta() | UUID():
            return str(value)
        case memoryview() | bytearray():
            return bytes(value)
    return value
