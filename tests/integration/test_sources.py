"""Databases beside the collections: read, never written, and not for longer than allowed."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy.engine import make_url

from controller.stores.collection_reader import Reader
from controller.stores.other_reader import open_other
from controller.stores.sources import Sources
from schemas.errors import BadInput, Unreachable
from tests.conftest import free_port

TABLE = "CREATE TABLE orders (number integer, price numeric, note text, placed timestamp, ok boolean)"
ROWS = "INSERT INTO orders VALUES (1, 2.50, '50%s', '2026-11-20 07:00:00', true), (2, NULL, NULL, NULL, NULL)"
BOMB = "WITH RECURSIVE n(x) AS (SELECT 1.0 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n"


@pytest.fixture
def url(any_database_url: str, tmp_path: Path) -> str:
    """The URL of a database that belongs to somebody else, with a table."""
    if any_database_url.startswith("sqlite"):
        with closing(sqlite3.connect(tmp_path / "orders.db")) as connection:
            connection.execute(TABLE)
            connection.execute(ROWS)
            connection.commit()
        return f"sqlite:///{tmp_path}/orders.db"
    plain = any_database_url.replace("+psycopg", "")
    with closing(psycopg.connect(plain)) as connection:
        connection.execute(TABLE)
        connection.execute(ROWS)
        connection.commit()
    return plain


@pytest.fixture
def sources(url: str) -> Sources:
    """The controller's configuration with that database."""
    return Sources({"erp": SecretStr(url)})


def ask(reader: Reader, sql: str) -> list[tuple[object, ...]]:
    """All rows of a query."""
    with reader.run(sql) as result:
        return list(result.rows)


def test_a_source_is_read(sources: Sources, url: str) -> None:
    """Queries read any table there, by its plain name, and a percent sign is a percent sign."""
    assert sources.dialect("erp") == ("sqlite" if url.startswith("sqlite") else "postgres")
    with sources.reader("erp", timeout_s=20) as reader:
        assert ask(reader, "SELECT number, price, note FROM orders WHERE note LIKE '%\\%s' ESCAPE '\\'") == [
            (1, 2.5, "50%s")
        ]
        (times,) = ask(reader, "SELECT placed FROM orders WHERE number = 1")
        assert times == ("2026-11-20 07:00:00",)
        assert ask(reader, "SELECT * FROM orders WHERE number = 2") == [(2, None, None, None, None)]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO orders (number) VALUES (3)",
        "DELETE FROM orders",
        "UPDATE orders SET number = 1",
        "DROP TABLE orders",
        "CREATE TABLE x (a integer)",
        "SELECT 1; DELETE FROM orders",
        "SELECT 1; COMMIT; DELETE FROM orders",
        "SELECT * FROM sqlite_master",
        "SELECT * FROM pg_authid",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM pragma_table_list",
        "SELECT load_extension('x')",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT set_config('transaction_read_only', 'off', false)",
        "ATTACH ':memory:' AS other",
        "PRAGMA query_only = OFF",
    ],
)
def test_a_source_is_only_read(sources: Sources, sql: str) -> None:
    """Whatever would write, or tell of the server, is refused by the database, with no check of the text before."""
    with sources.reader("erp", timeout_s=20) as reader:
        with pytest.raises(BadInput, match="the query"):
            ask(reader, sql)
        assert ask(reader, "SELECT count(*) FROM orders") == [(2,)]


def test_a_bomb_is_stopped(sources: Sources) -> None:
    """A query that goes on for ever ends at its time limit."""
    with (
        sources.reader("erp", timeout_s=0.5) as reader,
        pytest.raises(BadInput, match=r"took more than 0\.5 s"),
        reader.run(BOMB) as result,
    ):
        for _ in result.rows:
            pass


def test_an_account_that_can_only_read_is_enough(postgres_url: str) -> None:
    """An account that may not even make temporary tables is read with; it still cannot write."""
    plain = postgres_url.replace("+psycopg", "")
    with closing(psycopg.connect(plain, autocommit=True)) as owner:
        owner.execute(TABLE)
        owner.execute(ROWS)
        owner.execute("CREATE ROLE looker LOGIN")
        owner.execute("GRANT SELECT ON orders TO looker")
        owner.execute(f"REVOKE TEMPORARY ON DATABASE {owner.info.dbname} FROM PUBLIC".encode())
        sources = Sources({"erp": SecretStr(plain.replace("tidemill:secret", "looker:secret"))})
        try:
            with sources.reader("erp", timeout_s=20) as reader:
                assert ask(reader, "SELECT count(*) FROM orders") == [(2,)]
                with pytest.raises(BadInput, match="the query failed"):
                    ask(reader, "DELETE FROM orders")
                with pytest.raises(BadInput, match="the query failed: permission denied"):
                    ask(reader, "SELECT pg_read_file('/etc/passwd')")
        finally:
            owner.execute("DROP OWNED BY looker")
            owner.execute("DROP ROLE looker")


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Reader]:
    """A database that is read through SQLAlchemy alone, as those are for which there is no reader of their own."""
    with closing(sqlite3.connect(tmp_path / "orders.db")) as connection:
        connection.execute(TABLE)
        connection.execute(ROWS)
        connection.commit()
    with open_other(make_url(f"sqlite:///{tmp_path}/orders.db"), timeout_s=0.5) as reader:
        yield reader


def test_any_other_database_is_read_through_sqlalchemy(other: Reader) -> None:
    """Rows and columns come as from the other readers; a failing query says why, and one without end is stopped."""
    with other.run("SELECT number, note AS n FROM orders WHERE note LIKE '%\\%s' ESCAPE '\\'") as result:
        assert (result.columns, list(result.rows)) == (("number", "n"), [(1, "50%s")])
    other.prepare("SELECT note FROM orders")
    with pytest.raises(BadInput, match="the query failed: no such column: colour"):
        other.prepare("SELECT colour FROM orders")
    with pytest.raises(BadInput, match=r"took more than 0\.5 s"), other.run(BOMB) as result:
        for _ in result.rows:
            pass


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nonsense:secret", "sources.erp is no database URL; write postgresql://"),
        ("nosuch://u:secret@host/x", "sources.erp is no database URL; write postgresql://"),
        ("sqlite://", "sources.erp is no path from the root to a SQLite file"),
        ("sqlite:///relative.db", "sources.erp is no path from the root to a SQLite file"),
        ("oracle+oracledb://u:secret@host/x", "sources.erp needs the Python package oracledb, which is not installed"),
    ],
)
def test_a_source_that_cannot_be_used_is_said_at_the_start(url: str, reason: str) -> None:
    """The message names the setting and says what to write, and tells no password."""
    with pytest.raises(BadInput, match=reason) as refused:
        Sources({"erp": SecretStr(url)})
    assert "secret" not in str(refused.value)


def test_a_source_that_is_unknown_or_away_is_said(tmp_path: Path) -> None:
    """An unknown name is a mistake; a server or a file that is away is tried again; no message tells a password."""
    away = f"postgresql://u:secret@127.0.0.1:{free_port()}/x"
    sources = Sources({"erp": SecretStr(away), "file": SecretStr(f"sqlite:///{tmp_path}/nothing.db")})
    with pytest.raises(
        BadInput, match="there is no source crm in the controller's configuration; there are: erp, file"
    ):
        sources.dialect("crm")
    with pytest.raises(Unreachable) as refused, sources.reader("erp", timeout_s=5):
        pass
    assert "secret" not in str(refused.value)
    with pytest.raises(Unreachable, match=r"nothing\.db cannot be read"), sources.reader("file", timeout_s=5):
        pass
