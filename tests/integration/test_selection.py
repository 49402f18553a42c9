"""What queries select: on real databases, while rows keep coming."""

import sqlite3
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from controller.data.query_check import QueryCheck
from controller.data.selection import Asked
from controller.stores.collections import CollectionStore
from controller.stores.sources import Sources
from schemas.errors import BadInput, TooLarge
from schemas.queries import Format, Query
from tests.integration.selecting import LINES, NO_SOURCES, PRESS, ask, new, rows_of, select
from transport.blob_store import BlobDirectory


@pytest.fixture
def store(any_database_url: str) -> Iterator[CollectionStore]:
    """An open store with two collections, both empty, on each database."""
    with closing(CollectionStore(any_database_url)) as opened:
        opened.declare(PRESS)
        opened.declare(LINES)
        yield opened


@pytest.fixture
def blobs(tmp_path: Path) -> BlobDirectory:
    """Where selected rows go."""
    return BlobDirectory(tmp_path / "blobs")


def test_rows_are_json_objects(store: CollectionStore, blobs: BlobDirectory) -> None:
    """Booleans and JSON columns come out as what they are, also under other names, from subqueries and joins."""
    store.insert("press", [{"line": "a", "strokes": 1, "force": 0.5, "ok": True, "detail": '{"parts":[1,2]}'}, {}])
    expected = [{"fine": True, "d": {"parts": [1, 2]}, "strokes": 1}, {"fine": None, "d": None, "strokes": None}]
    assert ask(store, blobs, "SELECT ok AS fine, detail AS d, strokes FROM press") == expected
    nested = "WITH x AS (SELECT ok AS fine, detail AS d, strokes FROM press) SELECT x.* FROM x LEFT JOIN lines ON true"
    assert ask(store, blobs, nested) == expected
    assert ask(store, blobs, "SELECT CAST(detail -> 'parts' ->> 1 AS INTEGER) AS second FROM press WHERE ok") == [
        {"second": 2}
    ]


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


def test_no_order_of_the_database_itself_shows(
    store: CollectionStore, blobs: BlobDirectory, any_database_url: str
) -> None:
    """Where an index or reused room would have rows come otherwise, they come as they arrived, each once (defect 4)."""
    store.insert("press", [{"strokes": -number} for number in range(500)])
    query = "SELECT strokes FROM press WHERE strokes IN (-700, -310, -650, -450)"
    with store._database.writing() as connection:
        connection.execute(text("CREATE INDEX by_strokes ON press (strokes)"))
        connection.execute(text("DELETE FROM press WHERE position <= 300"))
    if store.dialect == "postgres":
        address = any_database_url.replace("+psycopg", "")
        with closing(psycopg.connect(address, autocommit=True)) as connected:
            connected.execute("VACUUM")
    store.insert("press", [{"strokes": -number} for number in range(500, 800)])
    with store._database.writing() as connection:
        connection.execute(text("ANALYZE"))
    arrived = [-310, -450, -650, -700]
    with store._database.reading() as connection:
        assert [row[0] for row in connection.execute(text(query))] != arrived
    assert [row["strokes"] for row in ask(store, blobs, query)] == arrived


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
        "SELECT position p FROM press WHERE strokes % 2 = 0 UNION ALL SELECT position FROM press WHERE strokes % 2 > 0",
        "SELECT min(position) AS p FROM press GROUP BY position HAVING count(*) > 0",
        "SELECT position AS p FROM (SELECT *, row_number() OVER (ORDER BY strokes) FROM press) AS press",
        "SELECT p.position AS p FROM press p WHERE EXISTS (SELECT 1 FROM press q WHERE q.position = p.position)",
        "WITH n AS (SELECT * FROM press), m AS (SELECT 1) SELECT n.position AS p FROM n, m, (SELECT 1) AS j, lines l",
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


def test_too_many_bytes_are_refused(store: CollectionStore, blobs: BlobDirectory) -> None:
    """Rows beyond the cap stop the selection, and nothing of them stays."""
    store.insert("press", [{"line": "x" * 1000}] * 3000)
    with pytest.raises(TooLarge, match=r"query 1: more than 2000000 bytes after [0-9]+ rows"):
        select(store, Query(query="SELECT * FROM press"), blobs, max_bytes=2_000_000)
    assert list(blobs.digests()) == []


def test_a_reader_knows_positions_and_what_is_not_there(store: CollectionStore) -> None:
    """Positions are read in the same state of the store as the rows."""
    store.insert("press", [{"line": "a"}] * 3)
    with store.reader(timeout_s=5) as reader:
        store.insert("press", [{"line": "a"}])
        assert reader.last_position("press") == 3
        assert reader.last_position("lines") == 0
        with pytest.raises(BadInput, match="nothing"):
            reader.last_position("nothing")


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT colour FROM press", "the query failed: .*colour"),
        ("SELECT line FROM press, lines", "the query failed: .*ambiguous"),
        ("SELECT * FROM presses", r"there is no collection presses \(line 1, column 15\); there are: lines, press"),
        ("SELECT nosuch(line) FROM press", r"cannot call nosuch\(\)"),
    ],
)
def test_a_mistake_is_told_at_once_and_again(
    store: CollectionStore, blobs: BlobDirectory, sql: str, reason: str
) -> None:
    """A query is tried when its job is declared, before there are rows; if one fails later, the run says which."""
    QueryCheck(store, NO_SOURCES).query(
        Query(query="SELECT hall, ok FROM lines JOIN press USING (line)"), [PRESS, LINES]
    )
    with pytest.raises(BadInput, match=reason):
        QueryCheck(store, NO_SOURCES).query(Query(query=sql), [PRESS, LINES])
    with pytest.raises(BadInput, match=f"^query 2: .*{reason}"):
        select(store, Asked((Query(query="SELECT line FROM press"), Query(query=sql))), blobs)


@pytest.mark.parametrize("wanted", ["json", "ndjson", "csv", "parquet"])
def test_both_databases_give_the_same_bytes(
    wanted: Format, postgres_url: str, tmp_path: Path, blobs: BlobDirectory
) -> None:
    """The same rows in the same query make the same file, in each format, wherever they are kept."""
    digests = set()
    for url in (f"sqlite:///{tmp_path}/one.db", postgres_url):
        with closing(CollectionStore(url)) as opened:
            opened.declare_all([PRESS, LINES])
            opened.insert(
                "press", [{"line": "ä", "strokes": 2**40, "force": 0.1, "ok": True, "detail": '{"a":[1.5]}'}, {}]
            )
            sql = "SELECT position, line, strokes, force, ok, detail, strokes + 1 AS more FROM press"
            (selection,) = select(opened, Query(query=sql, format=wanted), blobs).data
            digests.add(selection.blob.digest)
    assert len(digests) == 1


def test_a_source_is_selected_from(store: CollectionStore, blobs: BlobDirectory, tmp_path: Path) -> None:
    """A query may read another database; its rows are told to be from there, and are bounded as any."""
    with closing(sqlite3.connect(tmp_path / "orders.db")) as connection:
        connection.executescript("CREATE TABLE orders (number, note); INSERT INTO orders VALUES (1, 'a'), (2, 'b')")
    sources = Sources({"erp": SecretStr(f"sqlite:///{tmp_path}/orders.db")})
    query = Query(query="SELECT number, note AS text FROM orders ORDER BY number", source="erp")
    QueryCheck(store, sources).query(query, [])
    store.insert("press", [{"strokes": 7}])
    asked = Asked((query, Query(query="SELECT strokes FROM press")), max_rows=2)
    frozen = select(store, asked, blobs, sources=sources)
    assert rows_of(frozen.data[0], blobs) == [{"number": 1, "text": "a"}, {"number": 2, "text": "b"}]
    assert (frozen.data[0].source, frozen.data[0].windows, frozen.data[1].source) == ("erp", {}, None)
    with pytest.raises(BadInput, match="query 1: it gives more rows than max_rows, which is 1"):
        select(store, Asked((query,), max_rows=1), blobs, sources=sources)
    for wrong, reason in (("SELECT * FROM sqlite_master", "the database's own"), ("DROP TABLE orders", "begins with")):
        with pytest.raises(BadInput, match=f"query 1: .*{reason}"):
            select(store, query.model_copy(update={"query": wrong}), blobs, sources=sources)


def test_a_source_that_is_not_named_is_told(store: CollectionStore, blobs: BlobDirectory) -> None:
    """A source that the configuration does not name is refused when the job is declared, and when a run comes to it."""
    query = Query(query="SELECT * FROM orders", source="erp")
    with pytest.raises(BadInput, match="there is no source erp"):
        QueryCheck(store, NO_SOURCES).query(query, [])
    with pytest.raises(BadInput, match="query 1: there is no source erp"):
        select(store, query, blobs)


@pytest.mark.parametrize("wanted", ["json", "ndjson", "csv"])
def test_rows_stream_through(store: CollectionStore, blobs: BlobDirectory, wanted: Format) -> None:
    """However many rows there are, a few of them are in memory: the file is many times larger than what was held."""
    store.insert("press", [{"line": f"{number:01000d}"} for number in range(20_000)])
    tracemalloc.start()
    try:
        (selection,) = select(store, Query(query="SELECT line FROM press", format=wanted), blobs).data
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert selection.blob.size_bytes > 20_000_000
    assert peak_bytes < 4_000_000
