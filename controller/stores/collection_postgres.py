"""Keeps collections in a schema of a PostgreSQL database, where several may write at once, also without us."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager

from psycopg.types.string import TextLoader
from sqlalchemy import Connection, create_engine, event, select, text
from sqlalchemy import Dialect as SqlDialect
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.schema import CreateColumn

from controller.stores.collection_horizon import ANNOUNCE, ANNOUNCE_FUNCTION, TOLD_AFTER_S, Horizon, horizons
from controller.stores.collection_reader import BUSY_S, Dialect, Reader
from controller.stores.collection_tables import collections, metadata, rows_table
from controller.stores.postgres import CONNECT_OPTIONS, said_plainly, with_driver
from controller.stores.postgres_reader import open_collections, open_temporary
from schemas.collections import CollectionSpec
from schemas.errors import Conflict

log = logging.getLogger(__name__)

_DIALECT: SqlDialect = postgresql.dialect()  # type: ignore[no-untyped-call]

SCHEMA = "tidemill_collections"

_OPENING_LOCK = 0x71DE_0001
"""Of two controllers that start at once, one makes the tables."""

# Rows that others write directly get the time in the form of all the others.
_ARRIVAL = """to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')"""


class PostgresCollections:
    """A ``CollectionDatabase`` on a server."""

    dialect: Dialect = "postgres"

    def __init__(self, url: URL, query_url: URL) -> None:
        self._url, self._query_url = with_driver(url), with_driver(query_url)
        self._what = f"the collection store {url.render_as_string(hide_password=True)}"
        self._engine = create_engine(self._url, connect_args=CONNECT_OPTIONS, pool_pre_ping=True)
        event.listen(self._engine, "connect", _prepare, insert=True)
        self._at_once = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._frozen = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with ExitStack() as undo:
            undo.callback(self.close)
            self._make_tables()
            undo.pop_all()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """See ``CollectionDatabase``."""
        with said_plainly(self._what), self._frozen.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """See ``CollectionDatabase``."""
        with said_plainly(self._what), self._engine.connect() as connection, connection.begin():
            yield connection

    def make_table(self, connection: Connection, spec: CollectionSpec) -> None:
        """See ``CollectionDatabase``."""
        quoted = _quoted(spec.name)
        if connection.scalar(text("SELECT to_regclass(:name)"), {"name": quoted}) is not None:
            raise Conflict(f"collection {spec.name}: PostgreSQL has something else of that name in {SCHEMA}")
        rows_table(spec).create(connection)
        connection.exec_driver_sql(f"ALTER TABLE {quoted} ALTER COLUMN created SET DEFAULT {_ARRIVAL}")
        connection.exec_driver_sql(
            f'CREATE TRIGGER "{ANNOUNCE}" BEFORE INSERT ON {quoted} '
            f'FOR EACH STATEMENT EXECUTE FUNCTION {SCHEMA}."{ANNOUNCE}"()'
        )
        self._let_queries_read(connection, spec.name)

    def settled(self, names: Iterable[str]) -> Mapping[str, int]:
        """See ``CollectionDatabase``."""
        return {name: horizon.position for name, horizon in self._horizons(list(names)).items()}

    def reader(self, *, timeout_s: float) -> AbstractContextManager[Reader]:
        """See ``CollectionDatabase``."""
        return open_collections(
            self._query_url,
            guard_url=self._url,
            schema=SCHEMA,
            horizons=self._horizons_of_all,
            timeout_s=timeout_s,
        )

    def empty(self, specs: Iterable[CollectionSpec], *, timeout_s: float) -> AbstractContextManager[Reader]:
        """See ``CollectionDatabase``."""
        return open_temporary(self._url, [_temporary(spec) for spec in specs], timeout_s=timeout_s)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _make_tables(self) -> None:
        with self.writing() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _OPENING_LOCK})
            connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            metadata.create_all(connection)
            connection.exec_driver_sql(ANNOUNCE_FUNCTION)
            for name in connection.scalars(select(collections.c.name)):
                self._let_queries_read(connection, name)

    def _let_queries_read(self, connection: Connection, name: str) -> None:
        account = self._query_url.username
        if account and account != self._url.username:
            connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA {SCHEMA} TO {_quoted(account)}")
            connection.exec_driver_sql(f"GRANT SELECT ON {_quoted(name)} TO {_quoted(account)}")

    def _horizons_of_all(self) -> Mapping[str, Horizon]:
        with self.reading() as connection:
            names = list(connection.scalars(select(collections.c.name)))
        return self._horizons(names)

    def _horizons(self, names: list[str]) -> Mapping[str, Horizon]:
        with said_plainly(self._what), self._at_once.connect() as connection:
            found = horizons(connection, schema=SCHEMA, names=names)
        for name, horizon in found.items():
            if horizon.waits_s > TOLD_AFTER_S:
                about = {"collection": name, "after": horizon.position, "transaction": horizon.waits_for}
                log.warning("rows are held back by an open transaction", extra=about)
        return found


def _prepare(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    connection.adapters.register_loader("json", TextLoader)  # as SQLite gives it: whoever reads it parses it
    connection.autocommit = True
    for setting in (f"search_path = {SCHEMA}", f"lock_timeout = '{BUSY_S}s'", "TimeZone = 'UTC'"):
        connection.execute(f"SET {setting}")
    connection.autocommit = False


def _quoted(name: str) -> str:
    return _DIALECT.identifier_preparer.quote_identifier(name)


def _temporary(spec: CollectionSpec) -> str:
    columns = ", ".join(str(CreateColumn(column).compile(dialect=_DIALECT)) for column in rows_table(spec).columns)
    return f"CREATE TEMPORARY TABLE {_quoted(spec.name)} ({columns})"
