"""Opens the control database, brings it to the present schema, and hands out transactions."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DataError, InterfaceError, NoSuchModuleError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Session, create_engine

from schemas.errors import BadInput, Unreachable

Result = TypeVar("Result")

CONNECTIONS = 4  # at once; each keeps a page cache of its own, and there is one writer anyway

_WRITE = "write sqlite:////var/lib/tidemill/control.db or postgresql://user:password@host/database"

AWAY_S = 30.0
"""How long a transaction waits for a server that is away to take it; a restart of PostgreSQL is shorter."""

_BUSY_S = 30  # that a transaction waits for another writer
_WRITERS_LOCK = 0x71DE_0002


class Database:
    """The control database. A transaction commits when its block ends well, and is undone otherwise.

    There is one writer at a time: what a transaction that may write has read stays so until it ends.
    Any may raise ``Unreachable`` (locked, disk full, server away): nothing was written then, unless the connection
    broke in the very moment of the commit. ``BadInput``: a value that the database cannot hold; nothing was written.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = asyncio.Lock()  # SQLite lets writers wait in no order, and one may wait for very long
        self._reading = engine.execution_options(reads=True)
        if engine.dialect.name == "postgresql":
            self._reading = self._reading.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session that may write, committed at the end. Blocks: on the event loop use ``write``."""
        with self._session(self._engine) as session:
            yield session

    async def write(self, work: Callable[[Session], Result]) -> Result:
        """Do ``work`` in one transaction, in a thread. What it returns must not lean on the session.

        Whoever came first goes first, and those who wait hold neither a thread nor a connection.
        """

        def transact() -> Result:
            with self.transaction() as session:
                return work(session)

        async with self._writer:
            return await asyncio.to_thread(transact)

    async def read(self, work: Callable[[Session], Result]) -> Result:
        """Do ``work``, which only reads, on one state of the database; no writer waits for it, and it for none."""

        def look() -> Result:
            with self._session(self._reading) as session:
                return work(session)

        return await asyncio.to_thread(look)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextmanager
    def _session(self, engine: Engine) -> Iterator[Session]:
        with (
            _said_plainly(engine, "did not do it"),
            _connected(engine) as connection,
            Session(connection, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session


def open_database(url: str) -> Database:
    """Open the database at ``url``, making or migrating it first. Blocks.

    Raises:
        BadInput: there can be no such database.
        Unreachable: it does not open.
    """
    engine = _engine(url)
    try:
        with _said_plainly(engine, "does not open"):
            _migrate(engine)
    except Unreachable:
        engine.dispose()
        raise
    return Database(engine)


def _engine(url: str) -> Engine:
    pool = {"pool_size": CONNECTIONS, "max_overflow": 0}
    try:
        address = make_url(url)
        if address.get_backend_name() not in {"sqlite", "postgresql"}:
            raise BadInput(f"control_url is of neither SQLite nor PostgreSQL; {_WRITE}")
        if address.get_backend_name() == "sqlite":
            engine = create_engine(address, connect_args={"timeout": _BUSY_S}, **pool)
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        from controller.stores.postgres import CONNECT_OPTIONS, with_driver  # noqa: PLC0415 - an extra brings psycopg

        engine = create_engine(with_driver(address), connect_args=CONNECT_OPTIONS, pool_pre_ping=True, **pool)
        event.listen(engine, "begin", _begin_postgres)
    except (ArgumentError, NoSuchModuleError) as error:  # their messages may hold a password
        raise BadInput(f"control_url is no database URL; {_WRITE}") from error
    except ModuleNotFoundError as error:
        raise BadInput(f"control_url needs {error.name}: pip install 'tidemill[postgresql]'") from error
    return engine


def _prepare_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # pysqlite must not begin by itself: we do, below
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={_BUSY_S * 1000}"):
        connection.cursor().execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that reads first and then writes fails at once when another wrote meanwhile.
    connection.exec_driver_sql("BEGIN" if _only_reads(connection) else "BEGIN IMMEDIATE")


def _begin_postgres(connection: Connection) -> None:
    # The same there: decisions lean on what they have read, such as the last version's number. The lock comes before
    # the first read, and each statement sees what was committed before it.
    if not _only_reads(connection):
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_BUSY_S}s'")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS_LOCK})")


def _only_reads(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get("reads", False))


@contextmanager
def _connected(engine: Engine) -> Iterator[Connection]:
    """A connection, however often it has to be tried: nothing has been done yet, so that nothing is done twice."""
    gives_up_at = time.monotonic() + (AWAY_S if engine.dialect.name == "postgresql" else 0.0)
    pause_s = 0.1
    while True:
        try:
            connection = engine.connect()
            break
        except OperationalError:
            if time.monotonic() + pause_s > gives_up_at:
                raise
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, 2.0)
    with connection:
        yield connection


@contextmanager
def _said_plainly(engine: Engine, what: str) -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        where = engine.url.render_as_string(hide_password=True)
        said = " ".join(str(error.orig).split())
        raise Unreachable(f"the control database {where} {what}: {said}") from error
    except DataError as error:  # such as a text with a zero byte, which PostgreSQL does not take
        raise BadInput(f"the control database cannot hold or look for that: {error.orig}") from error


def _migrate(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
