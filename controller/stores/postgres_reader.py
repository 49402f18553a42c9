"""Runs people's queries on PostgreSQL: in a transaction that only reads, each looked at first, and timed."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import psycopg
from psycopg import sql as text
from sqlalchemy.engine import URL

from controller.stores.collection_horizon import Horizon
from controller.stores.collection_reader import MAX_ROW_BYTES, Reader, Result
from controller.stores.postgres import connect, is_elsewhere, words
from controller.stores.postgres_guard import PostgresGuard
from controller.stores.postgres_values import load_as_sqlite_does
from schemas.errors import BadInput, Unreachable

# Before each query everything is as written here, whatever the server's or the account's settings are.
_SETTINGS = """SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET bytea_output = 'hex';
SET standard_conforming_strings = on; SET lock_timeout = '10s'; SET default_transaction_read_only = {}"""

# The row's size is asked of its own value, so that PostgreSQL can neither work it out before nor leave it out.
_BOUNDED = """SELECT tidemill_row.* FROM (
{sql}
) AS tidemill_row WHERE CASE WHEN pg_column_size(tidemill_row.*) <= {limit} THEN true
ELSE concat('a row has more than {limit} bytes: ', pg_column_size(tidemill_row.*))::int4 > 0 END"""

_ROWS_AT_ONCE = 8 if psycopg.capabilities.has_stream_chunked() else 1  # held in memory; each may be that large


@dataclass(frozen=True, slots=True)
class PostgresReader:
    """A ``Reader`` of one connection in one transaction."""

    schema: str
    connection: psycopg.Connection
    guard: PostgresGuard | None  # None: there is nowhere to look at queries, as on a copy that follows another server
    timeout_s: float
    horizons: Mapping[str, Horizon] = field(default_factory=dict)
    any_table: bool = False

    def last_position(self, collection: str) -> int:
        """See ``Reader``."""
        if collection not in self.horizons:
            raise BadInput(f"there is no collection {collection}")
        table = text.Identifier(self.schema, collection)
        newest = text.SQL("SELECT max(position) FROM {} WHERE position <= %s").format(table)
        with self._watched():
            found = self.connection.execute(newest, [self.horizons[collection].position]).fetchone()
        return int(found[0] or 0) if found else 0

    def waits_for(self, collection: str) -> str:
        """See ``Reader``."""
        return self.horizons[collection].waits_for if collection in self.horizons else ""

    def prepare(
        self,
        sql: str,
        collections: Collection[str] = (),
        own: Collection[str] = (),  # noqa: ARG002 - PostgreSQL tells them from tables by itself
    ) -> None:
        """See ``Reader``."""
        with self._watched():
            self._looked_at(sql, collections)

    @contextmanager
    def run(
        self,
        sql: str,
        collections: Collection[str] = (),
        own: Collection[str] = (),  # noqa: ARG002 - see above
    ) -> Iterator[Result]:
        """See ``Reader``."""
        with self._watched():
            statement = self._looked_at(sql, collections)
            columns = self._columns(statement)
            with (
                self.connection.cursor() as cursor,
                closing(cursor.stream(statement, size=_ROWS_AT_ONCE)) as rows,  # type: ignore[type-var]
            ):
                yield Result(columns, rows)

    def _looked_at(self, sql: str, collections: Collection[str]) -> bytes:
        if "\x00" in sql:
            raise BadInput("the query holds a NUL character")
        statement = _BOUNDED.format(sql=sql, limit=MAX_ROW_BYTES)
        if self.guard is not None:
            self.guard.check(statement, schema=self.schema, tables=None if self.any_table else collections)
        return statement.encode()

    def _columns(self, statement: bytes) -> tuple[str, ...]:
        """What the columns are called, also when there is no row."""
        connection = self.connection.pgconn
        for answer in (connection.prepare(b"", statement), connection.describe_prepared(b"")):
            if answer.status != psycopg.pq.ExecStatus.COMMAND_OK:
                raise psycopg.errors.error_from_result(answer)
        return tuple((answer.fname(index) or b"").decode() for index in range(answer.nfields))

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """One statement, of which nothing stays: not even its failure, which would end the transaction."""
        try:
            with self.connection.transaction(force_rollback=True):
                limit_ms = str(max(1, int(self.timeout_s * 1000)))
                self.connection.execute("SELECT set_config('statement_timeout', %s, true)", [limit_ms])
                yield
        except psycopg.errors.QueryCanceled as error:
            raise BadInput(f"the query took more than {self.timeout_s:g} s and was stopped") from error
        except (psycopg.Error, UnicodeError) as error:
            if isinstance(error, psycopg.Error) and is_elsewhere(error):
                raise Unreachable(f"the database cannot be read: {words(error)}") from error
            raise BadInput(f"the query failed: {_reason(error)}") from error


def _reason(error: psycopg.Error | UnicodeError) -> str:
    said = words(error)
    marker = "a row has more than "
    return marker + said.split(marker, 1)[1].rstrip('"') if marker in said else said


@contextmanager
def open_collections(
    url: URL, *, guard_url: URL, schema: str, horizons: Callable[[], Mapping[str, Horizon]], timeout_s: float
) -> Iterator[Reader]:
    """Open a transaction that reads one state of the collections and can change nothing.

    Args:
        url: Of the account that queries run as.
        guard_url: Of an account that may make temporary views.
        schema: Where the collections are.
        horizons: Asked for before the state is fixed.
        timeout_s: For each query.

    Raises:
        Unreachable: the server does not answer.
        BadInput: it refuses the account, or ``url`` names a server that lags behind.
    """
    with _session(guard_url, read_only=False) as looking, _session(url, read_only=True) as reading:
        with _opening(url):
            for connection in (looking, reading):
                connection.execute("SET search_path = pg_catalog")
        known = horizons()
        if _begin(reading, url):
            raise BadInput("collections_query_url names a server that only follows another; name that other one")
        yield PostgresReader(schema, reading, PostgresGuard(looking), timeout_s, known)


@contextmanager
def open_source(url: URL, *, timeout_s: float) -> Iterator[Reader]:
    """Open a transaction that reads one state of a database and can change nothing; each query may take ``timeout_s``.

    Raises:
        Unreachable: the server does not answer.
        BadInput: it refuses the account.
    """
    with _session(url, read_only=False) as looking, _session(url, read_only=True) as reading:
        is_copy = _begin(reading, url)
        with _opening(url):
            may_look = "SELECT has_database_privilege(current_database(), 'TEMPORARY')"
            guarded = not is_copy and looking.execute(may_look).fetchone() == (True,)
        guard = PostgresGuard(looking) if guarded else None
        yield PostgresReader("public", reading, guard, timeout_s, any_table=True)


@contextmanager
def open_temporary(url: URL, statements: list[str], *, timeout_s: float) -> Iterator[Reader]:
    """Run statements that make temporary tables, to try queries on; nothing stays. Raises as ``open_collections``."""
    with _session(url, read_only=False) as connection:
        with _opening(url):
            connection.execute("BEGIN")
            for statement in statements:
                connection.execute(statement.encode())
            connection.execute("SET LOCAL search_path = pg_catalog")
        yield PostgresReader("pg_temp", connection, PostgresGuard(connection), timeout_s)


@contextmanager
def _session(url: URL, *, read_only: bool) -> Iterator[psycopg.Connection]:
    with closing(connect(url)) as connection:
        with _opening(url):
            connection.execute(_SETTINGS.format("on" if read_only else "off").encode())
            load_as_sqlite_does(connection)
        yield connection


def _begin(connection: psycopg.Connection, url: URL) -> bool:
    """Fix the state that is read; returns whether the server only follows another."""
    with _opening(url):
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)


@contextmanager
def _opening(url: URL) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        kind = Unreachable if is_elsewhere(error) else BadInput
        raise kind(f"{url.render_as_string(hide_password=True)}: {words(error)}") from error
