"""What a query may do on PostgreSQL when nothing has looked at its text before: the second of two walls."""
# ruff: noqa: S608 - hostile SQL is what is tested

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from controller.data.payloads import Row
from controller.stores.collection_postgres import SCHEMA
from controller.stores.collection_reader import MAX_ROW_BYTES, Reader
from controller.stores.collections import CollectionStore
from schemas.collections import CollectionSpec, ColumnType
from schemas.errors import BadInput, Unreachable
from tests.postgres import PostgresServer

PRESS = CollectionSpec(
    name="press",
    columns={
        "label": ColumnType.TEXT,
        "strokes": ColumnType.INTEGER,
        "force": ColumnType.REAL,
        "ok": ColumnType.BOOLEAN,
        "at": ColumnType.TIMESTAMP,
        "detail": ColumnType.JSON,
    },
)
TABLE = f"{SCHEMA}.press"


@pytest.fixture
def store(postgres_url: str) -> Iterator[CollectionStore]:
    """An open store with one collection and two rows."""
    with closing(CollectionStore(postgres_url)) as opened:
        opened.declare(PRESS)
        at = "2026-11-20T07:00:00.000000+00:00"
        row: Row = {"label": "ä%s", "strokes": 2**60, "force": 0.1, "ok": True, "at": at, "detail": '{"a":[1]}'}
        opened.insert("press", [row, {"label": "b", "force": 0.5, "ok": False}])
        yield opened


@pytest.fixture
def reader(store: CollectionStore) -> Iterator[Reader]:
    """One state of the store."""
    with store.reader(timeout_s=20) as opened:
        yield opened


def ask(reader: Reader, sql: str) -> list[tuple[object, ...]]:
    """All rows of a query that was not looked at by anybody."""
    with reader.run(sql, ["press"]) as result:
        return list(result.rows)


HOSTILE = [
    # other than reading
    f"INSERT INTO {TABLE} (label) VALUES ('x')",
    f"WITH gone AS (DELETE FROM {TABLE} RETURNING *) SELECT * FROM gone",
    f"WITH new AS (INSERT INTO {TABLE} (label) VALUES ('x') RETURNING *) SELECT * FROM new",
    f"SELECT * INTO copied FROM {TABLE}",
    f"SELECT * FROM {TABLE} FOR UPDATE",
    f"TRUNCATE {TABLE}",
    f"DROP TABLE {TABLE}",
    "CREATE TABLE x (a int)",
    f"COPY {TABLE} TO '/tmp/x'",
    f"COPY {TABLE} FROM PROGRAM 'id'",
    "DO $$ BEGIN PERFORM 1; END $$",
    "CALL something()",
    "SET statement_timeout = 0",
    "RESET ALL",
    "LISTEN everything",
    "NOTIFY everyone",
    "LOCK TABLE pg_class",
    "VACUUM",
    "PREPARE x AS SELECT 1",
    "EXPLAIN ANALYZE SELECT 1",
    # more than one statement, or out of the brackets
    "SELECT 1; SELECT 2",
    f"SELECT 1; COMMIT; DROP TABLE {TABLE}",
    f"SELECT 1) AS a; COMMIT; DROP TABLE {TABLE}; SELECT * FROM (SELECT 1",
    "SELECT 1) AS a, pg_authid AS b, (SELECT 1",
    "SELECT 1 /*",
    "SELECT 'open",
    "SELECT $x$",
    "SELECT 1\x00",
    # tables that are none of its collections
    "SELECT * FROM pg_authid",
    "SELECT * FROM pg_catalog.pg_class",
    "SELECT * FROM pg_stat_activity",
    "SELECT * FROM pg_settings",
    "SELECT * FROM information_schema.tables",
    f'SELECT * FROM {SCHEMA}."tidemill$collections"',
    "SELECT * FROM private.things",
    "SELECT (SELECT name FROM private.things LIMIT 1)",
    f"SELECT * FROM {TABLE} WHERE EXISTS (SELECT 1 FROM private.things)",
    f"WITH x AS (SELECT * FROM pg_authid) SELECT 1 FROM {TABLE}",
    "SELECT * FROM private.view_of_things",
    f"SELECT * FROM {TABLE} AS t, LATERAL (SELECT * FROM pg_class LIMIT 1) AS c",
    "TABLE pg_authid",
    # functions that do more than compute
    "SELECT pg_sleep(100)",
    f"SELECT * FROM {TABLE} WHERE pg_sleep(100) IS NULL",
    f"SELECT count(*) FROM {TABLE} GROUP BY pg_sleep(100)",
    "SELECT * FROM pg_sleep(100)",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_catalog.pg_read_file('/etc/passwd')",
    "SELECT * FROM pg_ls_dir('/')",
    "SELECT pg_read_binary_file('/etc/passwd')",
    "SELECT pg_terminate_backend(1)",
    "SELECT pg_cancel_backend(1)",
    "SELECT pg_reload_conf()",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_notify('a', 'b')",
    "SELECT set_config('statement_timeout', '0', false)",
    "SELECT current_setting('data_directory')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_creat(-1)",
    "SELECT lo_get(1)",
    "SELECT query_to_xml('SELECT * FROM pg_authid', true, false, '')",
    "SELECT table_to_xml('pg_authid', true, false, '')",
    "SELECT database_to_xml(true, false, '')",
    "SELECT * FROM ts_stat('SELECT to_tsvector(rolname) FROM pg_authid')",
    "SELECT nextval('tidemill_collections.press_position_seq')",
    "SELECT setval('tidemill_collections.press_position_seq', 1)",
    "SELECT pg_get_viewdef('private.view_of_things'::regclass)",
    "SELECT has_table_privilege('pg_authid', 'select')",
    "SELECT version()",
    "SELECT inet_server_addr()",
    "SELECT private.shout('x')",
    "SELECT * FROM dblink('host=127.0.0.1', 'SELECT 1') AS t(a int)",
    "SELECT U&'\\0070' || pg_\\u0073leep(1)",
    "SELECT U&\"pg!_sleep\" UESCAPE '!'(1)",
    'SELECT U&"\\0070g_sleep"(100)',
]


def test_the_database_itself_refuses_what_the_check_would_miss(store: CollectionStore, postgres_url: str) -> None:
    """Everything but reading collections and computing is refused at once, and nothing has changed (defect 6)."""
    with closing(psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True)) as owner:
        owner.execute("CREATE SCHEMA private")
        owner.execute("CREATE TABLE private.things (name text)")
        owner.execute("CREATE VIEW private.view_of_things AS SELECT * FROM private.things")
        owner.execute("CREATE FUNCTION private.shout(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT upper($1)'")
    with store.reader(timeout_s=60) as reader:
        for sql in HOSTILE:
            with pytest.raises(BadInput, match=r"the query (calls|reads|failed|holds)"):
                ask(reader, sql)
            assert ask(reader, f"SELECT count(*) FROM {TABLE}") == [(2,)], sql
    assert store.view("press").rows == len(store.rows("press")) == 2


@pytest.mark.parametrize(
    "sql",
    [
        "WITH RECURSIVE bomb(x) AS (SELECT 1::numeric UNION ALL SELECT x + 1 FROM bomb) SELECT max(x) FROM bomb",
        "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b, generate_series(1, 9) c",
        "SELECT i FROM generate_series(1, 1000000000) i",
    ],
)
def test_a_bomb_is_stopped(store: CollectionStore, sql: str) -> None:
    """A query that would run or give rows for ever is stopped at its time limit, and the reader serves on."""
    with store.reader(timeout_s=0.5) as reader:
        with (
            pytest.raises(BadInput, match=r"the query took more than 0.5 s and was stopped"),
            reader.run(sql) as result,
        ):
            for _ in result.rows:
                pass
        assert ask(reader, f"SELECT count(*) FROM {TABLE}") == [(2,)]


def test_a_row_has_a_size(reader: Reader) -> None:
    """A row that would fill the memory is refused by its size, under whatever name it hides."""
    with pytest.raises(BadInput, match=f"the query failed: a row has more than {MAX_ROW_BYTES} bytes: 9000"):
        ask(reader, "SELECT repeat('x', 9000000) AS large")
    with pytest.raises(BadInput, match="a row has more than"):
        ask(reader, "SELECT 1 AS tidemill_row, repeat('x', 9000000) AS large")
    assert len(str(ask(reader, "SELECT repeat('x', 8000000) AS large")[0][0])) == 8_000_000


def test_values_are_those_that_sqlite_gives(reader: Reader) -> None:
    """Text, numbers, booleans, times and parsed JSON come as the same Python values as from the other database."""
    at = "2026-11-20T07:00:00.000000+00:00"
    asked = f"SELECT label, strokes, force, ok, at, detail FROM {TABLE} ORDER BY position"
    assert ask(reader, asked) == [("ä%s", 2**60, 0.1, True, at, {"a": [1]}), ("b", None, 0.5, False, None, None)]
    (row,) = ask(
        reader,
        f"""SELECT sum(strokes), avg(force), count(*), max(at::timestamptz), date '2026-11-20', 1.50, 'x'::bytea,
            ARRAY['a', 'b'], interval '5 min', 10::numeric ^ 30, min(detail::text)::json -> 'a'
            FROM {TABLE} WHERE ok""",
    )
    assert row == (2**60, 0.1, 1, at, "2026-11-20", 1.5, b"x", ["a", "b"], "00:05:00", 1e30, [1])
    assert [type(value) for value in row[:3]] == [int, float, int]


def test_columns_are_named_also_without_rows(reader: Reader) -> None:
    """An empty result has its columns, and two columns of one name are two."""
    with reader.run(f"SELECT position, label AS x, force AS x FROM {TABLE} WHERE false", ["press"]) as result:
        assert (result.columns, list(result.rows)) == (("position", "x", "x"), [])


def test_a_reader_sees_one_state(store: CollectionStore, reader: Reader) -> None:
    """Rows that come while it reads, and failed queries in between, change nothing of what it sees."""
    store.insert("press", [{"label": "later"}])
    with pytest.raises(BadInput, match="division by zero"):
        ask(reader, "SELECT 1 / 0")
    with reader.run(f"SELECT label FROM {TABLE} ORDER BY position", ["press"]) as result:
        next(result.rows)  # and the rest is not asked for
    assert reader.last_position("press") == 2
    assert ask(reader, f"SELECT count(*) FROM {TABLE}") == [(2,)]
    with pytest.raises(BadInput, match="there is no collection nothing"):
        reader.last_position("nothing")


def test_queries_are_tried_before_their_collections_exist(store: CollectionStore) -> None:
    """Against declarations alone a query's mistakes are found down to a column's name, and nothing is left behind."""
    other = CollectionSpec(name="Other", columns={"label": ColumnType.TEXT, "when": ColumnType.TIMESTAMP})
    with store.empty([PRESS, other], timeout_s=5) as reader:
        tables = f'{reader.schema}.press AS p JOIN {reader.schema}."Other" AS o USING (label)'
        reader.prepare(f'SELECT p.*, o."when" FROM {tables}', ["press", "Other"])
        with pytest.raises(BadInput, match=r"column p.nothing does not exist"):
            reader.prepare(f"SELECT p.nothing FROM {tables}", ["press", "Other"])
        with pytest.raises(BadInput, match=r"reads pg_temp.Other"):
            reader.prepare(f"SELECT p.* FROM {tables}", ["press"])
    assert [spec.name for spec in store.specs()] == ["press"]


def test_an_account_of_their_own_can_read_collections_and_nothing_else(postgres_url: str) -> None:
    """Where queries have an account, it is given the collections, also later ones; the rest it has no right to."""
    owner_url = postgres_url.replace("+psycopg", "")
    with closing(psycopg.connect(owner_url, autocommit=True)) as owner:
        owner.execute("DROP ROLE IF EXISTS asker")
        owner.execute("CREATE ROLE asker LOGIN")
    with closing(CollectionStore(postgres_url)) as store:
        store.declare(PRESS)
    query_url = postgres_url.replace("tidemill:secret", "asker:secret")
    with closing(CollectionStore(postgres_url, query_url)) as store:
        store.declare(PRESS.model_copy(update={"name": "Later"}))
        store.insert("press", [{"label": "a"}])
        with store.reader(timeout_s=5) as reader:
            assert reader.last_position("press") == 1
            names = ["press", "Later"]
            with reader.run(f'SELECT p.label FROM {TABLE} p LEFT JOIN {SCHEMA}."Later" ON true', names) as result:
                assert list(result.rows) == [("a",)]
    with closing(psycopg.connect(owner_url.replace("tidemill:secret", "asker:secret"), autocommit=True)) as asker:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            asker.execute(f'SELECT * FROM {SCHEMA}."tidemill$collections"')
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            asker.execute(f"INSERT INTO {TABLE} (label) VALUES ('x')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            asker.execute("SELECT pg_read_file('/etc/passwd')")
    with closing(psycopg.connect(owner_url, autocommit=True)) as owner:
        owner.execute("DROP OWNED BY asker")
        owner.execute("DROP ROLE asker")


def test_a_server_that_is_away_is_said_and_comes_back(postgres: PostgresServer, store: CollectionStore) -> None:
    """While the server is away everything raises Unreachable, which is tried again, and without a password."""
    postgres.stop()
    try:
        with pytest.raises(Unreachable, match="did not do it") as away:
            store.insert("press", [{"label": "x"}])
        assert "secret" not in str(away.value)
        with pytest.raises(Unreachable) as away, store.reader(timeout_s=5):
            pass
        assert "secret" not in str(away.value)
        with pytest.raises(Unreachable):
            store.view("press")
    finally:
        postgres.start()
    assert store.insert("press", [{"label": "y"}]) >= 3
