"""Opens the collection store's database and hands out its transactions."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from controller.stores.collection_tables import metadata
from schemas.errors import BadInput, Unreachable

BUSY_S = 10
"""How long a transaction waits for another's write."""


class CollectionDatabase:
    """One SQLite file in WAL mode: one writer at a time, and readers that hold nobody up."""

    def __init__(self, url: str) -> None:
        self.file = _sqlite_file(url)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        address = URL.create("sqlite", database=str(self.file))
        self._engine = create_engine(address, connect_args={"timeout": BUSY_S, "check_same_thread": False})
        event.listen(self._engine, "connect", _prepare)
        event.listen(self._engine, "begin", _begin)
        with self.writing() as connection:
            metadata.create_all(connection)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state. Raises Unreachable when the database does not answer."""
        with _said_plainly(self.file), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is on the disk when its block has ended, and undone if that raises.

        Raises:
            Unreachable: the database is locked or its disk is full; nothing was written, and it may be tried again.
        """
        writer = self._engine.execution_options(writes=True)
        with _said_plainly(self.file), writer.connect() as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def _sqlite_file(url: str) -> Path:
    try:
        address = make_url(url)
    except ArgumentError as error:
        raise BadInput(f"{url!r} is no database URL; write sqlite:////var/lib/tidemill/collections.db") from error
    if address.get_backend_name() != "sqlite" or not address.database or address.database == ":memory:":
        shown = address.render_as_string(hide_password=True)
        raise BadInput(f"collections cannot be kept at {shown} yet; write sqlite:////var/lib/tidemill/collections.db")
    return Path(address.database).absolute()


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
