"""Runs people's queries on a SQLite file: read-only, watched by SQLite's own authorizer and by the clock."""

import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import orjson
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

from controller.stores.collection_reader import MAX_ROW_BYTES, Reader, Result
from controller.stores.collection_tables import rows_table
from controller.stores.sqlite_guard import Guard
from schemas.collections import CollectionSpec
from schemas.errors import BadInput, Unreachable

_STEPS_BETWEEN_LOOKS = 10_000  # of SQLite's virtual machine: some tenths of a millisecond

_NOT_THE_QUERY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}


class SqliteReader:
    """A ``Reader`` of one connection. SQLite has one writer at a time, so positions are committed in order."""

    schema = "main"

    def __init__(self, connection: sqlite3.Connection, *, timeout_s: float, any_table: bool = False) -> None:
        self._connection, self._timeout_s, self._any_table = connection, timeout_s, any_table
        self._guard = Guard()

    def last_position(self, collection: str) -> int:
        """See ``Reader``."""
        quoted = collection.replace('"', '""')
        with self._watched({collection}, ()):
            found = self._connection.execute(f'SELECT max(position) FROM main."{quoted}"').fetchone()  # noqa: S608
        return int(found[0] or 0)

    def waits_for(self, collection: str) -> str:  # noqa: ARG002 - see the class
        """See ``Reader``."""
        return ""

    def prepare(self, sql: str, collections: Collection[str] = (), own: Collection[str] = ()) -> None:
        """See ``Reader``."""
        with self.run(f"EXPLAIN {sql}", collections, own):
            pass  # that SQLite could compile it is all that was asked

    @contextmanager
    def run(self, sql: str, collections: Collection[str] = (), own: Collection[str] = ()) -> Iterator[Result]:
        """See ``Reader``."""
        with self._watched(collections, own), closing(self._connection.cursor()) as cursor:
            cursor.execute(sql)
            yield Result(tuple(column[0] for column in cursor.description), cursor)

    @contextmanager
    def _watched(self, collections: Collection[str], own: Collection[str]) -> Iterator[None]:
        guard = self._guard
        guard.collections, guard.own = None if self._any_table else frozenset(collections), frozenset(own)
        guard.deadline = time.monotonic() + self._timeout_s
        guard.denied, guard.timed_out = "", False
        self._connection.set_authorizer(guard.authorize)
        self._connection.set_progress_handler(guard.look, _STEPS_BETWEEN_LOOKS)
        try:
            yield
        except (sqlite3.Error, sqlite3.Warning, UnicodeError) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _NOT_THE_QUERY:
                raise Unreachable(f"the database cannot be read: {error}") from error
            if guard.timed_out:
                raise BadInput(f"the query took more than {self._timeout_s:g} s and was stopped") from error
            raise BadInput(f"the query {guard.denied or f'failed: {error}'}") from error
        finally:
            self._connection.set_progress_handler(None, 0)
            self._connection.set_authorizer(None)


@contextmanager
def open_file(file: Path, *, timeout_s: float, any_table: bool = False) -> Iterator[Reader]:
    """Open a read-only connection with one transaction; ``any_table``: for all tables, not only named ones.

    Raises:
        Unreachable: the file cannot be read.
    """
    sqlite3.register_converter("JSON_TEXT", _json)
    sqlite3.register_converter("BOOLEAN", _boolean)
    with ExitStack() as stack:
        try:
            connection = stack.enter_context(closing(_connect(file, convert=not any_table)))
            _restrict(connection)
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM main.sqlite_master")  # the first read is what fixes the state
        except sqlite3.Error as error:
            raise Unreachable(f"the database {file} cannot be read: {error}") from error
        yield SqliteReader(connection, timeout_s=timeout_s, any_table=any_table)


@contextmanager
def open_empty(specs: Iterable[CollectionSpec], *, timeout_s: float) -> Iterator[Reader]:
    """Collections as declared, without rows: what a query can be tried on before its collections exist."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for spec in specs:
            connection.execute(str(CreateTable(rows_table(spec)).compile(dialect=sqlite.dialect())))
        _restrict(connection)
        yield SqliteReader(connection, timeout_s=timeout_s)


def _connect(file: Path, *, convert: bool) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{file.as_uri()}?mode=ro",
        uri=True,
        isolation_level=None,
        detect_types=sqlite3.PARSE_DECLTYPES if convert else 0,  # of columns that are plainly a collection's
        check_same_thread=False,
    )


def _restrict(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA query_only=ON")
    connection.execute("PRAGMA trusted_schema=OFF")
    # SQLite declares these on first use by what looks like a write, which the guard would deny.
    connection.execute("SELECT count(*) FROM json_each('[]'), json_tree('[]')").fetchall()
    # Also no text on the way to a row: one function's call on larger ones could outlast any time limit.
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_ROW_BYTES)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.setlimit(sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0)


def _json(text: bytes) -> object:
    """A JSON column's value; a UNION may put something else into the same column, which stays text."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text.decode(errors="replace")


def _boolean(text: bytes) -> object:
    """A boolean column's value; see ``_json`` for what else may come."""
    return {b"0": False, b"1": True}[text] if text in {b"0", b"1"} else _json(text)
