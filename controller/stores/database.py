"""Opens the control database, brings it to the present schema, and hands out transactions."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Session, create_engine

from schemas.errors import BadInput, Unreachable

Result = TypeVar("Result")


CONNECTIONS = 4  # at once; each keeps a page cache of its own, and SQLite has one writer anyway


class Database:
    """The control database. A transaction commits when its block ends well, and is undone otherwise."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(reads=True)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session that may write, committed at the end. Blocks: on the event loop use ``write``."""
        with Session(self._engine, expire_on_commit=False) as session, session.begin():
            yield session

    async def write(self, work: Callable[[Session], Result]) -> Result:
        """Do ``work`` in one transaction, in a thread. What it returns must not lean on the session."""

        def transact() -> Result:
            with self.transaction() as session:
                return work(session)

        return await asyncio.to_thread(transact)

    async def read(self, work: Callable[[Session], Result]) -> Result:
        """Do ``work``, which only reads, on one state of the database; no writer waits for it, and it for none."""

        def look() -> Result:
            with Session(self._reading, expire_on_commit=False) as session, session.begin():
                return work(session)

        return await asyncio.to_thread(look)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def open_database(url: str) -> Database:
    """Open the database at ``url``, making or migrating it first. Blocks.

    Raises:
        BadInput: there can be no such database.
        Unreachable: it does not open.
    """
    engine = _engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin)
    try:
        _migrate(engine)
    except OperationalError as error:
        where = engine.url.render_as_string(hide_password=True)
        engine.dispose()
        raise Unreachable(f"the control database {where} does not open: {error.orig}") from error
    return Database(engine)


def _engine(url: str) -> Engine:
    try:
        waiting = {"timeout": 30} if url.startswith("sqlite") else {}
        return create_engine(url, connect_args=waiting, pool_size=CONNECTIONS, max_overflow=0)
    except ArgumentError as error:  # its message may hold a password
        raise BadInput("control_url is no database URL; write sqlite:////var/lib/tidemill/control.db") from error
    except ModuleNotFoundError as error:
        raise BadInput(f"control_url needs the Python package {error.name}, which is not installed") from error


def _prepare_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # pysqlite must not begin by itself: we do, below
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
        connection.cursor().execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    # A deferred transaction that reads first and then writes fails at once when another wrote meanwhile.
    reads = connection.get_execution_options().get("reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _migrate(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
