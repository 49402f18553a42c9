"""What everything that talks to PostgreSQL shares: addresses, connections, and which failure is whose."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from schemas.errors import BadInput, Unreachable

DRIVER = "postgresql+psycopg"

CONNECT_OPTIONS = {
    "connect_timeout": 10,  # s
    "tcp_user_timeout": 30_000,  # ms; a server that vanished without a word is not waited for longer
    "keepalives_idle": 30,  # s
    "client_encoding": "utf8",
    "application_name": "tidemill",
}

# Of SQLSTATE: connection, resources, operator's or system's doing, a lock or a serialization that lost against another.
_NOT_THE_STATEMENT = ("08", "53", "57", "58", "40", "55P03")


def with_driver(url: URL) -> URL:
    """The same address for psycopg 3, which SQLAlchemy does not take by itself."""
    return url.set(drivername=DRIVER) if url.drivername in {"postgresql", "postgres"} else url


def is_elsewhere(error: psycopg.Error) -> bool:
    """Whether a failure is not the statement's own: it may be tried again."""
    if error.sqlstate is None:  # it never came from the server
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return error.sqlstate.startswith(_NOT_THE_STATEMENT)


def words(error: BaseException | None) -> str:
    """What PostgreSQL said, in one line and without what it quotes of the statement."""
    diagnosed = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return diagnosed or " ".join(str(error).split())


@contextmanager
def said_plainly(what: str) -> Iterator[None]:
    """Turn what SQLAlchemy raises for PostgreSQL into our own errors.

    Raises:
        Unreachable: the server is away, ends, is full, or another transaction was in the way: it may be tried again.
        BadInput: the account may not do what is needed, or a value cannot be held there, such as a zero byte in a text.
    """
    try:
        yield
    except DBAPIError as error:
        cause = error.orig
        if isinstance(cause, psycopg.errors.InsufficientPrivilege | psycopg.errors.InvalidSchemaName):
            raise BadInput(f"{what}: the account may not do what it must: {words(cause)}") from error
        if isinstance(cause, psycopg.DataError):
            raise BadInput(f"{what} cannot hold or look for that: {words(cause)}") from error
        if isinstance(cause, psycopg.Error) and is_elsewhere(cause):
            raise Unreachable(f"{what} did not do it: {words(cause)}") from error
        raise


def connect(url: URL) -> psycopg.Connection:
    """A connection of its own, which begins no transaction by itself. Raises Unreachable."""
    address = url.translate_connect_args(username="user", database="dbname")
    try:
        return psycopg.connect(**{**CONNECT_OPTIONS, **address, **url.query}, autocommit=True)
    except psycopg.OperationalError as error:
        raise Unreachable(f"{url.render_as_string(hide_password=True)} did not answer: {words(error)}") from error
    except psycopg.Error as error:
        raise BadInput(f"{url.render_as_string(hide_password=True)} cannot be used: {words(error)}") from error
