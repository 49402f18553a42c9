"""Keeps collections in one SQLite file in WAL mode: one writer at a time, and readers that hold nobody up."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from controller.stores.collection_reader import BUSY_S, Dialect, Reader
from controller.stores.collection_tables import metadata, rows_table
from controller.stores.sqlite_reader import open_empty, open_file
from schemas.collections import CollectionSpec
from schemas.errors import Unreachable


class SqliteCollections:
    """A ``CollectionDatabase`` in a file."""

    dialect: Dialect = "sqlite"

    def __init__(self, file: Path) -> None:
        self.file = file
        self.file.parent.mkdir(parents=True, exist_ok=True)
        address = URL.create("sqlite", database=str(self.file))
        self._engine = create_engine(address, connect_args={"timeout": BUSY_S, "check_same_thread": False})
        event.listen(self._engine, "connect", _prepare)
        event.listen(self._engine, "begin", _begin)
        with self.writing() as connection:
            metadata.create_all(connection)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """See ``CollectionDatabase``."""
        with _said_plainly(self.file), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """See ``CollectionDatabase``."""
        writer = self._engine.execution_options(writes=True)
        with _said_plainly(self.file), writer.connect() as connection, connection.begin():
            yield connection

    def make_table(self, connection: Connection, spec: CollectionSpec) -> None:
        """See ``CollectionDatabase``."""
        rows_table(spec).create(connection)

    def settled(self, names: Iterable[str]) -> Mapping[str, int]:  # noqa: ARG002 - with one writer, all of them are
        """See ``CollectionDatabase``."""
        return {}

    def reader(self, *, timeout_s: float) -> AbstractContextManager[Reader]:
        """See ``CollectionDatabase``."""
        return open_file(self.file, timeout_s=timeout_s)

    def empty(self, specs: Iterable[CollectionSpec], *, timeout_s: float) -> AbstractContextManager[Reader]:
        """See ``CollectionDatabase``."""
        return open_empty(specs, timeout_s=timeout_s)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def _prepare(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # pysqlite must not begin by itself: we do, below
    # FULL: a device's message is acknowledged after the commit, so that must outlive a power failure.
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.cursor().execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    # A deferred transaction that reads first and then writes fails at once when another wrote meanwhile.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _said_plainly(file: Path) -> Iterator[None]:
    try:
        yield
    except OperationalError as error:  # locked, full, read-only
        raise Unreachable(f"the collection store {file} did not do it: {error.orig}") from error
