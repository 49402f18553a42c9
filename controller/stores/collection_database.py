"""Where collections are kept: a SQLite file or a PostgreSQL database, by URL."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from controller.stores.collection_reader import Dialect, Reader
from controller.stores.collection_sqlite import SqliteCollections
from schemas.collections import CollectionSpec
from schemas.errors import BadInput

_WRITE = "write sqlite:////var/lib/tidemill/collections.db or postgresql://user:password@host/database"


class CollectionDatabase(Protocol):
    """Hands out transactions on the collection store's tables. Every method blocks.

    Each may raise Unreachable (locked, disk full, server away): nothing was written then, and it may be tried again.
    """

    @property
    def dialect(self) -> Dialect:
        """Which SQL people's queries are written in."""

    def reading(self) -> AbstractContextManager[Connection]:
        """A transaction that sees one state."""

    def writing(self) -> AbstractContextManager[Connection]:
        """A transaction that is on the disk when its block has ended, and undone if that raises."""

    def make_table(self, connection: Connection, spec: CollectionSpec) -> None:
        """Make a new collection's table. Raises Conflict when the database has something else of that name."""

    def settled(self, names: Iterable[str]) -> Mapping[str, int]:
        """The position up to which no row can come any more, for collections whose newest one cannot be told so.

        To be asked before the transaction that leans on it begins.
        """

    def reader(self, *, timeout_s: float) -> AbstractContextManager[Reader]:
        """One state of all collections for people's queries."""

    def empty(self, specs: Iterable[CollectionSpec], *, timeout_s: float) -> AbstractContextManager[Reader]:
        """Collections as declared, without rows: what queries are tried on before their collections exist."""

    def close(self) -> None:
        """Close every connection."""


def open_collections(url: str, query_url: str | None = None) -> CollectionDatabase:
    """Open the database at ``url``, making its tables; on PostgreSQL, people's queries run as ``query_url``'s account.

    Raises:
        BadInput: there can be no such database.
        Unreachable: it does not open.
    """
    address = _address(url, "collections_url")
    match address.get_backend_name():
        case "sqlite" if address.database and address.database != ":memory:":
            if query_url is not None:
                raise BadInput("collections_query_url is for PostgreSQL; a SQLite file has no accounts")
            return SqliteCollections(Path(address.database).absolute())
        case "postgresql":
            try:
                from controller.stores.collection_postgres import PostgresCollections  # noqa: PLC0415 - an extra
            except ModuleNotFoundError as error:
                raise BadInput(f"PostgreSQL needs {error.name}: pip install 'tidemill[postgresql]'") from error
            return PostgresCollections(address, _address(query_url or url, "collections_query_url"))
    raise BadInput(f"collections cannot be kept at {address.render_as_string(hide_password=True)}; {_WRITE}")


def _address(url: str, setting: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError as error:  # its message may hold a password
        raise BadInput(f"{setting} is no database URL; {_WRITE}") from error
