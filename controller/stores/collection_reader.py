"""Runs people's queries on one unchanging state of the collections, where they can neither write nor stay for ever."""

import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

from controller.stores.collection_guard import Guard
from controller.stores.collection_tables import rows_table
from schemas.collections import CollectionSpec
from schemas.errors import BadInput, Unreachable

MAX_VALUE_BYTES = 8 * 1024 * 1024
"""No text and no row in a query grows beyond this: one function's call on larger ones could outlast any time limit."""

_STEPS_BETWEEN_LOOKS = 10_000  # of SQLite's virtual machine: some tenths of a millisecond

_NOT_THE_QUERY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}


@dataclass(frozen=True, slots=True)
class Result:
    """The rows of a query, as they are found: each asks the database for the next."""

    columns: tuple[str, ...]  # as SQLite names them: not always different
    rows: Iterator[tuple[object, ...]]


class Reader:
    """One state of all collections."""

    def __init__(self, connection: sqlite3.Connection, *, timeout_s: float) -> None:
        self._connection, self._timeout_s = connection, timeout_s
        self._guard = Guard()

    def last_position(self, collection: str) -> int:
        """The position of a declared collection's newest row; 0 if there is none."""
        quoted = collection.replace('"', '""')
        with self._watched({collection}, ()):
            found = self._connection.execute(f'SELECT max(position) FROM main."{quoted}"').fetchone()  # noqa: S608
        return int(found[0] or 0)

    @contextmanager
    def run(self, sql: str, collections: Collection[str], own: Collection[str] = ()) -> Iterator[Result]:
        """Run a SELECT that may read these collections alone; its rows come while the block lasts.

        Args:
            sql: The statement.
            collections: As they were declared.
            own: The names, in lower case, that the statement gives to common table expressions.

        Raises:
            BadInput: SQLite refuses it, or it takes longer than it may; also while the rows come.
            Unreachable: the disk or another process is in the way.
        """
        with self._watched(collections, own), closing(self._connection.cursor()) as cursor:
            cursor.execute(sql)
            yield Result(tuple(column[0] for column in cursor.description), cursor)

    @contextmanager
    def _watched(self, collections: Collection[str], own: Collection[str]) -> Iterator[None]:
        guard = self._guard
        guard.collections, guard.own = frozenset(collections), frozenset(own)
        guard.deadline = time.monotonic() + self._timeout_s
        guard.denied, guard.timed_out = "", False
        self._connection.set_authorizer(guard.authorize)
        self._connection.set_progress_handler(guard.look, _STEPS_BETWEEN_LOOKS)
        try:
            yield
        except (sqlite3.Error, sqlite3.Warning, UnicodeError) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _NOT_THE_QUERY:
                raise Unreachable(f"the collection store cannot be read: {error}") from error
            if guard.timed_out:
                raise BadInput(f"the query took more than {self._timeout_s:g} s and was stopped") from error
            raise BadInput(f"the query {guard.denied or f'failed: {error}'}") from error
        finally:
            self._connection.set_progress_handler(None, 0)
            self._connection.set_authorizer(None)


@contextmanager
def open_reader(file: Path, *, timeout_s: float) -> Iterator[Reader]:
    """Open a read-only connection with one transaction. Raises Unreachable."""
    sqlite3.register_converter("JSON_TEXT", _json)
    sqlite3.register_converter("BOOLEAN", _boolean)
    with ExitStack() as stack:
        try:
            connection = stack.enter_context(closing(_connect(file)))
            _restrict(connection)
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM main.sqlite_master")  # the first read is what fixes the state
        except sqlite3.Error as error:
            raise Unreachable(f"the collection store {file} cannot be read: {error}") from error
        yield Reader(connection, timeout_s=timeout_s)


@contextmanager
def open_empty(specs: Iterable[CollectionSpec], *, timeout_s: float) -> Iterator[Reader]:
    """Collections as declared, without rows: what a query can be tried on before its collections exist."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for spec in specs:
            connection.execute(str(CreateTable(rows_table(spec)).compile(dialect=sqlite.dialect())))
        _restrict(connection)
        yield Reader(connection, timeout_s=timeout_s)


def _connect(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{file.as_uri()}?mode=ro",
        uri=True,
        isolation_level=None,
        detect_types=sqlite3.PARSE_DECLTYPES,  # converts result columns that are plainly a collection's column
        check_same_thread=False,
    )


def _restrict(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA query_only=ON")
    connection.execute("PRAGMA trusted_schema=OFF")
    # SQLite declares these on first use by what looks like a write, which the guard would deny.
    connection.execute("SELECT count(*) FROM json_each('[]'), json_tree('[]')").fetchall()
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
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
