"""What queries select: on real SQLite, while rows keep coming."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from controller.data.query_check import QueryCheck
from controller.data.selection import Asked
from controller.stores.collections import CollectionStore
from schemas.errors import BadInput, TooLarge
from schemas.queries import Query
from tests.integration.selecting import LINES, NO_SOURCES, PRESS, ask, new, rows_of, select
from transport.blob_store import BlobDirectory


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CollectionStore]:
    """An open store with two collections, both empty."""
    with closing(CollectionStore(f"sqlite:///{tmp_path}/collections.db")) as opened:
        opened.declare(PRESS)
        opened.declare(LINES)
        yield opened


@pytest.fixture
def blobs(tmp_path: Path) -> BlobDirectory:
    """Where selected rows go."""
    return BlobDirectory(tmp_path / "blobs")


def check(store: CollectionStore, query: Query) -> None:
    """Check a query as it is when its job is declared."""
    QueryCheck(store, NO_SOURCES).query(query, [PRESS, LINES])


def test_rows_are_json_objects(store: CollectionStore, blobs: BlobDirectory) -> None:
    """Booleans and JSON columns come out as what they are, also under other names, from subqueries and joins."""
    store.insert("press", [{"line": "a", "strokes": 1, "force": 0.5, "ok": True, "detail": '{"parts":[1,2]}'}, {}])
    expected = [{"fine": True, "d": {"parts": [1, 2]}, "strokes": 1}, {"fine": None, "d": None, "strokes": None}]
    assert ask(store, blobs, "SELECT ok AS fine, detail AS d, strokes FROM press") == expected
    nested = "WITH x AS (SELECT ok AS fine, detail AS d, strokes FROM press) SELECT x.* FROM x LEFT JOIN lines ON 1"
    assert ask(store, blobs, nested) == expected
    assert ask(store, blobs, "SELECT detail ->> '$.parts[1]' AS second FROM press WHERE ok") == [{"second": 2}]


def test_a_join_hides_no_column(store: CollectionStore, blobs: BlobDirectory) -> None:
    """Columns of the same name get a number, so that one collection's values never stand under another's name."""
    store.insert("lines", [{"line": "b", "hall": "north"}])
    store.insert("press", [{"line": "a"}, {"line": "b", "strokes": 7}])
    (row,) = ask(store, blobs, "SELECT * FROM press JOIN lines ON press.line = lines.line")
    assert (row["position"], row["position_2"], row["line"], row["line_2"], row["hall"]) == (2, 1, "b", "b", "north")
    (named,) = ask(store, blobs, "SELECT 1 AS a, 2 AS a, 3 AS a_2 FROM lines")
    assert named == {"a": 1, "a_3": 2, "a_2": 3}


def test_no_rows_is_an_empty_array(store: CollectionStore, blobs: BlobDirectory) -> None:
    """A query without rows gives an array without rows: never an error, never an earlier run's rows.

    (defect 7)
    """
    assert ask(store, blobs, "SELECT * FROM press") == []


def test_rows_come_in_the_order_of_arrival(store: CollectionStore, blobs: BlobDirectory) -> None:
    """A plain query without an order gets that of positions; a query with one keeps its own (defect 4)."""
    store.insert("press", [{"strokes": (n * 7919) % 1000} for n in range(1000)])
    arrived = [row["strokes"] for row in ask(store, blobs, "SELECT strokes FROM press AS p LIMIT 900")]
    assert arrived == [(n * 7919) % 1000 for n in range(900)]
    ordered = [row["strokes"] for row in ask(store, blobs, "SELECT strokes FROM press ORDER BY strokes DESC; -- all")]
    assert ordered == list(range(999, -1, -1))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT position AS p FROM press WHERE strokes >= 0 OR strokes IS NULL -- or that was for all",
        "SELECT position AS p FROM press ORDER BY strokes DESC;",
        'SELECT "x"."position" AS p FROM "press" AS x',
        "SELECT p.position AS p FROM press AS p JOIN lines USING (line)",
        "SELECT p.position AS p FROM lines, PRESS p WHERE p.line = lines.line",
        "WITH new AS (SELECT * FROM press) SELECT position AS p FROM new",
        "WITH RECURSIVE n(p) AS (SELECT min(position) FROM press UNION ALL SELECT p + 1 FROM n, press "
        "WHERE press.position = n.p + 1) SELECT p FROM n WHERE p IS NOT NULL",
        "SELECT position AS p FROM press WHERE strokes % 2 = 0 UNION ALL SELECT position FROM press WHERE strokes % 2",
        "SELECT min(position) AS p FROM press GROUP BY position HAVING count(*) > 0",
        "SELECT position AS p FROM (SELECT *, row_number() OVER (ORDER BY strokes) FROM press) AS press",
        "SELECT p.position AS p FROM press p WHERE EXISTS (SELECT 1 FROM press q WHERE q.position = p.position)",
        "WITH n AS (SELECT * FROM press), m AS (SELECT 1) SELECT n.position AS p FROM n, m, json_each('[1]'), lines l",
        "SELECT position AS p FROM press WHERE position IN (SELECT max(position) FROM press GROUP BY position)",
    ],
)
def test_new_rows_are_new_whatever_the_query_looks_like(store: CollectionStore, blobs: BlobDirectory, sql: str) -> None:
    """Where, order, alias, quotes, join, subquery, union, window or recursion: only rows of the window are seen.

    (defect 5)
    """
    store.insert("lines", [{"line": "a"}])
    store.insert("press", [{"line": "a", "strokes": number} for number in range(10)])
    query = Query(query=sql, new_data_only=True, collection="press")
    (first,) = select(store, query, blobs).data
    assert sorted(int(str(row["p"])) for row in rows_of(first, blobs)) == list(range(1, 11))
    store.insert("press", [{"line": "a", "strokes": number} for number in range(5)])
    (second,) = select(store, new(query, press=first.windows["press"].upto), blobs).data
    assert (second.windows["press"].after, second.windows["press"].upto) == (10, 15)
    assert sorted(int(str(row["p"])) for row in rows_of(second, blobs)) == list(range(11, 16))
    (nothing,) = select(store, new(query, press=second.windows["press"].upto), blobs).data
    assert (nothing.rows, nothing.windows["press"].after, nothing.windows["press"].upto) == (0, 15, 15)


def test_each_row_is_selected_exactly_once_while_rows_keep_coming(store: CollectionStore, blobs: BlobDirectory) -> None:
    """Over rounds of selections beside a writer that never stops, no row is missing and none comes twice.

    (defects 2, 3)
    """
    stop, wrote = threading.Event(), threading.Semaphore(0)

    def write() -> None:
        number = 0
        while not stop.is_set():
            store.insert("press", [{"strokes": number + step} for step in range(7)])
            number += 7
            wrote.release()

    writer = threading.Thread(target=write)
    writer.start()
    query = Query(query="SELECT position, strokes FROM press", new_data_only=True, collection="press")
    seen: list[object] = []
    after = 0
    try:
        for _ in range(5):
            assert all(wrote.acquire(timeout=30) for _ in range(5))
            (selection,) = select(store, new(query, press=after), blobs).data
            rows = rows_of(selection, blobs)
            assert [row["position"] for row in rows] == list(range(after + 1, selection.windows["press"].upto + 1))
            assert rows
            seen += [row["strokes"] for row in rows]
            after = selection.windows["press"].upto
    finally:
        stop.set()
        writer.join(60)
    (last,) = select(store, new(query, press=after), blobs).data
    seen += [row["strokes"] for row in rows_of(last, blobs)]
    assert seen == list(range(store.view("press").rows))


def test_all_queries_of_a_run_see_the_same_rows(store: CollectionStore, blobs: BlobDirectory) -> None:
    """Rows that come between a run's queries are seen by none of them."""
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            store.insert("press", [{"strokes": 1}])

    store.insert("press", [{"strokes": 1}] * 100)
    writer = threading.Thread(target=write)
    writer.start()
    query = Query(query="SELECT strokes FROM press", new_data_only=True, collection="press")
    try:
        selections = select(store, Asked((query,) * 20), blobs).data
    finally:
        stop.set()
        writer.join(60)
    assert len({(selection.windows["press"].upto, selection.blob.digest) for selection in selections}) == 1


@pytest.mark.parametrize(
    "sql",
    [
        "WITH RECURSIVE bomb(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM bomb) SELECT max(x) FROM bomb, press",
        "SELECT count(*) FROM press a, press b, press c, press d, press e, press f, press g",
        "SELECT count(*) FROM press a, press b, press c, press d WHERE a.line || b.line LIKE c.line || d.line || '%x'",
    ],
)
def test_a_bomb_is_stopped(store: CollectionStore, blobs: BlobDirectory, sql: str) -> None:
    """A query that would run for ever is stopped at its time limit, and the store serves on."""
    store.insert("press", [{"line": "abc" * 10}] * 300)
    began = time.monotonic()
    with pytest.raises(BadInput, match=r"query 1: the query took more than 0.5 s and was stopped"):
        select(store, Query(query=sql), blobs, timeout_s=0.5)
    assert time.monotonic() - began < 10
    assert list(blobs.digests()) == []
    assert len(ask(store, blobs, "SELECT line FROM press")) == 300


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


def test_too_many_bytes_are_refused(store: CollectionStore, blobs: BlobDirectory) -> None:
    """Rows beyond the cap stop the selection, and nothing of them stays."""
    store.insert("press", [{"line": "x" * 1000}] * 3000)
    with pytest.raises(TooLarge, match=r"query 1: more than 2000000 bytes after [0-9]+ rows"):
        select(store, Query(query="SELECT * FROM press"), blobs, max_bytes=2_000_000)
    assert list(blobs.digests()) == []


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


def test_a_reader_knows_positions_and_what_is_not_there(store: CollectionStore) -> None:
    """Positions are read in the same state of the store as the rows."""
    store.insert("press", [{"line": "a"}] * 3)
    with store.reader(timeout_s=5) as reader:
        store.insert("press", [{"line": "a"}])
        assert reader.last_position("press") == 3
        assert reader.last_position("lines") == 0
        with pytest.raises(BadInput, match="nothing"):
            reader.last_position("nothing")
