"""How SQLite answers queries that are wrong: with its words, and never by doing more than reading."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from controller.data.query_check import QueryCheck
from controller.data.selection import Asked
from controller.stores.collections import CollectionStore
from schemas.errors import BadInput
from schemas.queries import Query
from tests.integration.selecting import LINES, NO_SOURCES, PRESS, select
from transport.blob_store import BlobDirectory


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CollectionStore]:
    """An open store with two collections, both empty."""
    with closing(CollectionStore(f"sqlite:///{tmp_path}/collections.db")) as opened:
        opened.declare_all([PRESS, LINES])
        yield opened


@pytest.fixture
def blobs(tmp_path: Path) -> BlobDirectory:
    """Where selected rows go."""
    return BlobDirectory(tmp_path / "blobs")


def check(store: CollectionStore, query: Query) -> None:
    """Check a query as it is when its job is declared."""
    QueryCheck(store, NO_SOURCES).query(query, [PRESS, LINES])


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT colour FROM press", "no such column: colour"),
        ("SELECT * FROM press WHERE nosuch(1)", r"cannot call nosuch\(\)"),
        ("SELECT median(force) FROM press", r"cannot call median\(\)"),
        ("SELECT replace(replace(hex(line), '6', hex(line)), '6', hex(line)) FROM press", "too big"),
        ("SELECT unhex('00') AS b FROM press", r"row 1: column b holds bytes; select hex\(b\)|no such function"),
        ("SELECT x'00' AS b FROM press", r"row 1: column b holds bytes; select hex\(b\)"),
        ("SELECT CAST(x'ff' AS TEXT) AS b FROM press", "UTF-8"),
        ("SELECT line FROM press INDEXED BY nothing", "there is no collection nothing"),
        ("SELECT line FROM press, (SELECT * FROM press) q", "ambiguous column"),
        ("SELECT line FROM press WHERE line REGEXP 'x'", "no such function|cannot"),
        ("SELECT line FROM press WHERE line MATCH 'x'", "no such function|unable to use function|cannot"),
    ],
)
def test_a_query_that_fails_says_why(store: CollectionStore, blobs: BlobDirectory, sql: str, reason: str) -> None:
    """A failing query is told apart from one without rows: by an error that names the query and the reason."""
    store.insert("press", [{"line": "a" * 20_000}])
    with pytest.raises(BadInput, match=f"^query 2: .*({reason})"):
        select(store, Asked((Query(query="SELECT line FROM press"), Query(query=sql))), blobs)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT lin FROM press", "the query failed: no such column: lin"),
        ("SELECT line FROM press JOIN lines", "ambiguous column name: line"),
        ("SELECT * FROM presses", "there is no collection presses"),
        ("SELECT nosuch(line) FROM press", r"cannot call nosuch\(\)"),
    ],
)
def test_a_mistake_is_told_when_a_job_is_declared(store: CollectionStore, sql: str, reason: str) -> None:
    """A query is tried on its collections' declarations alone, down to the name of a column, before there are rows."""
    check(store, Query(query="SELECT hall, ok FROM lines JOIN press USING (line)"))
    with pytest.raises(BadInput, match=reason):
        check(store, Query(query=sql))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM main.lines",
        "SELECT sql FROM sqlite_master",
        "SELECT * FROM pragma_table_list",
        'SELECT * FROM "tidemill$collections"',
        "SELECT load_extension('x')",
        "SELECT randomblob(10)",
        "PRAGMA journal_mode=DELETE",
        "ATTACH ':memory:' AS other",
        "INSERT INTO press (created) VALUES ('now')",
        "DELETE FROM press",
        "CREATE TEMP TABLE x (a)",
        "DROP TABLE press",
        "COMMIT",
        "SELECT 1; SELECT 2",
    ],
)
def test_the_database_itself_refuses_what_the_check_would_miss(store: CollectionStore, sql: str) -> None:
    """Behind the check of the text stands a second wall: the connection reads the named collections and no more."""
    with store.reader(timeout_s=5) as reader:
        with pytest.raises(BadInput, match="the query"), reader.run(sql, ["press"]) as result:
            list(result.rows)
        with reader.run("SELECT count(*) FROM main.press", ["press"]) as result:
            assert list(result.rows) == [(0,)]
