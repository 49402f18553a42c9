"""Which queries may run, and what a query is turned into."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.data.query import check_job_query, check_query, check_source_query
from controller.data.query_window import Seen
from schemas.errors import BadInput
from schemas.models import Window
from schemas.queries import Query

COLLECTIONS = ("iris", "press", "order")
SEEN = {name: Seen(Window(after=5, upto=9)) for name in COLLECTIONS}

HOSTILE = [
    ("", "empty"),
    (" ; ;", "empty"),
    ("-- only a comment", "empty"),
    ("ATTACH 'other.db' AS other", "begins with 'ATTACH'"),
    ("DETACH main", "begins with 'DETACH'"),
    ("PRAGMA journal_mode=DELETE", "begins with 'PRAGMA'"),
    ("VACUUM INTO 'copy.db'", "begins with 'VACUUM'"),
    ("INSERT INTO iris VALUES (1)", "begins with 'INSERT'"),
    ("REPLACE INTO iris VALUES (1)", "begins with 'REPLACE'"),
    ("UPDATE iris SET a = 1", "begins with 'UPDATE'"),
    ("DELETE FROM iris", "begins with 'DELETE'"),
    ("DROP TABLE iris", "begins with 'DROP'"),
    ("CREATE TEMP TABLE x AS SELECT * FROM iris", "begins with 'CREATE'"),
    ("EXPLAIN SELECT * FROM iris", "begins with 'EXPLAIN'"),
    ("BEGIN", "begins with 'BEGIN'"),
    ("VALUES (1)", "begins with 'VALUES'"),
    ("(SELECT * FROM iris)", "begins with '('"),
    ("FROM iris", "begins with 'FROM'"),
    ("SELECT * FROM iris; DROP TABLE iris", "a second one begins after the ; (line 1, column 19)"),
    ("SELECT * FROM iris;;SELECT * FROM iris", "one statement"),
    ("SELECT * FROM iris /* ; */; -- x\n; DELETE FROM iris", "one statement"),
    ("WITH gone AS (DELETE FROM iris RETURNING *) SELECT * FROM gone", "DELETE does not"),
    ("SELECT * INTO copy FROM iris", "INTO does not"),
    ("SELECT * FROM sqlite_master", "there is no collection sqlite_master (line 1, column 15)"),
    ("SELECT * FROM iris\nUNION SELECT sql, 1 FROM sqlite_schema", "sqlite_schema (line 2, column 26)"),
    ("SELECT (SELECT group_concat(sql) FROM sqlite_master) FROM iris", "no collection sqlite_master"),
    ("SELECT * FROM iris WHERE EXISTS (SELECT 1 FROM sqlite_sequence)", "no collection sqlite_sequence"),
    ("SELECT * FROM iris JOIN users ON 1", "no collection users (line 1, column 25); there are: iris, order, press"),
    ('SELECT * FROM "tidemill$collections"', "no collection tidemill$collections"),
    ("SELECT * FROM main.iris", "without a schema"),
    ('SELECT * FROM iris, "main"."press"', "without a schema"),
    ("SELECT * FROM temp.iris", "without a schema"),
    ("SELECT * FROM iris WHERE a IN press", "a list or a SELECT in brackets, not by press"),
    ("SELECT * FROM iris WHERE a IN main.iris", "a list or a SELECT in brackets"),
    ("SELECT * FROM iris, pragma_table_info('iris')", "cannot call pragma_table_info()"),
    ("SELECT * FROM pragma_database_list", "no collection pragma_database_list"),
    ("SELECT * FROM iris, generate_series(1, 1e12)", "cannot call generate_series"),
    ("SELECT * FROM dbstat", "no collection dbstat"),
    ("SELECT load_extension('/tmp/evil.so') FROM iris", "cannot call load_extension() (line 1, column 8)"),
    ("SELECT \"load_extension\"('/tmp/evil.so') FROM iris", "cannot call load_extension()"),
    ("SELECT load_extension/**/('/tmp/evil.so') FROM iris", "cannot call load_extension()"),
    ("SELECT readfile('/etc/passwd') FROM iris", "cannot call readfile()"),
    ("SELECT writefile('/tmp/x', species) FROM iris", "cannot call writefile()"),
    ("SELECT edit(species, 'vi') FROM iris", "cannot call edit()"),
    ("SELECT fts3_tokenizer('simple') FROM iris", "cannot call fts3_tokenizer()"),
    ("SELECT zeroblob(1000000000) FROM iris", "cannot call zeroblob()"),
    ("SELECT printf('%.*c', 1000000000, 'x') FROM iris", "the first argument of printf() is a text, without *"),
    ("SELECT format('%99999d', 1) FROM iris", "the first argument of format() is a text, without * and widths beyond"),
    ("SELECT printf(a) FROM iris", "the first argument of printf() is a text"),
    ("SELECT a" + "+1" * 12_000 + " FROM iris", "has 24004 words and signs; 20000 can be checked"),
    ("SELECT CAST(a AS regclass) FROM iris", "queries cannot make a regclass"),
    ("SELECT sqlite_source_id() FROM iris", "cannot call sqlite_source_id()"),
    ("SELECT last_insert_rowid() FROM iris", "cannot call last_insert_rowid()"),
    ("WITH iris AS (SELECT 1) SELECT * FROM iris", "WITH iris hides the collection"),
    ("SELECT * FROM (WITH Press AS (SELECT 1) SELECT * FROM press), iris", "hides the collection"),
    ("SELECT * FROM iris WHERE a = ?", "'?' (line 1, column 30) stands for a parameter"),
    ("SELECT * FROM iris WHERE a = :a", "stands for a parameter"),
    ("SELECT * FROM iris WHERE a = @a", "stands for a parameter"),
    ("SELECT * FROM iris WHERE a = $a", "'$a' (line 1, column 30) stands for a parameter"),
    ("SELECT 1", "reads no collection"),
    ("SELECT\n  a b c\nFROM iris", "line 2, column 7"),
    ("SELECT 'open FROM iris", "is a quote or a comment left open?"),
    ("SELECT * FROM iris WHERE", "line 1, column 20, near 'WHERE'"),
    ("SELECT * FROM iris\x00; DROP TABLE iris", "NUL"),
    ("SELECT " + "(" * 4000 + "1" + ")" * 4000 + " FROM iris", "nested too deep"),
    ("SELECT * FROM iris /* /* */ UNION SELECT * FROM sqlite_master */", "line 1, column 64"),
    ("SELECT * FROM iris -- \n UNION SELECT * FROM sqlite_master", "no collection sqlite_master"),
]


@pytest.mark.parametrize(("sql", "reason"), HOSTILE, ids=range(len(HOSTILE)))
def test_whatever_is_not_one_select_over_collections_is_refused(sql: str, reason: str) -> None:
    """A query that would do anything else, or that is a mistake, is refused and the message says why and where."""
    with pytest.raises(BadInput) as refused:
        check_query(sql, COLLECTIONS)
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("sql", "collections"),
    [
        ("SELECT * FROM iris", ("iris",)),
        ("select * from IRIS;", ("iris",)),
        ('SELECT * FROM "iris" AS i WHERE i.a > 3 ORDER BY i.a LIMIT 3;;', ("iris",)),
        ("SELECT * FROM [iris], `press`", ("iris", "press")),
        ('SELECT * FROM "order" WHERE position > 3', ("order",)),
        ("WITH big AS (SELECT * FROM iris WHERE a > 3) SELECT * FROM big JOIN press USING (b)", ("iris", "press")),
        ("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 9) SELECT * FROM n, iris", ("iris",)),
        ("SELECT a, count(*) FROM iris GROUP BY 1 HAVING count(*) > 2", ("iris",)),
        ("SELECT a FROM iris UNION ALL SELECT b FROM press ORDER BY 1", ("iris", "press")),
        ("SELECT j.value FROM press, json_each(press.detail, '$.parts') AS j", ("press",)),
        ("SELECT detail ->> '$.a', strftime('%s', at), iif(ok, 1, 0), 'it''s; -- fine' FROM press", ("press",)),
        ("SELECT avg(a) OVER (ORDER BY b ROWS 3 PRECEDING), row_number() OVER () FROM iris", ("iris",)),
        ("SELECT * FROM iris WHERE a IN (SELECT a FROM press)", ("iris", "press")),
        ("SELECT printf('%.2f of %d', a, b), format('%s', c), CAST(a AS INTEGER) FROM iris", ("iris",)),
        ("SELECT * FROM iris -- the flowers\n/* and */ WHERE a = 1 -- end", ("iris",)),
    ],
)
def test_ordinary_queries_are_taken(sql: str, collections: tuple[str, ...]) -> None:
    """Joins, subqueries, unions, common table expressions, windows, JSON, quotes and comments are all fine."""
    assert set(check_query(sql, COLLECTIONS).collections) == set(collections)


@pytest.mark.parametrize(
    ("sql", "frozen"),
    [
        ("SELECT a FROM iris;", 'WITH {iris}\nSELECT a FROM iris ORDER BY "iris"."position"'),
        ("SELECT a FROM iris AS i LIMIT 3", 'WITH {iris}\nSELECT a FROM iris AS i ORDER BY "i"."position" LIMIT 3'),
        ("SELECT a FROM iris ORDER BY b -- last", "WITH {iris}\nSELECT a FROM iris ORDER BY b"),
        ("SELECT count(*) FROM iris", "WITH {iris}\nSELECT count(*) FROM iris"),
        ("SELECT DISTINCT a FROM iris", "WITH {iris}\nSELECT DISTINCT a FROM iris"),
        ("SELECT a FROM iris, iris AS j", "WITH {iris}\nSELECT a FROM iris, iris AS j"),
        ("WITH x AS (SELECT 1) SELECT * FROM x, iris", "WITH {iris},\n     x AS (SELECT 1) SELECT * FROM x, iris"),
        (
            "WITH RECURSIVE x AS (SELECT 1) SELECT * FROM x, iris",
            "WITH RECURSIVE {iris},\n               x AS (SELECT 1) SELECT * FROM x, iris",
        ),
        ("SELECT a\nFROM iris /* é\n */ GROUP BY a", "WITH {iris}\nSELECT a\nFROM iris     \n    GROUP BY a"),
    ],
)
def test_a_query_is_kept_in_its_own_words(sql: str, frozen: str) -> None:
    """Only the window stands before it, an order behind it where it is plain and has none, and no comment is left.

    (defects 4, 5)
    """
    shadow = '"iris" AS (SELECT * FROM main."iris" WHERE position > 5 AND position <= 9)'
    assert check_query(sql, COLLECTIONS).within(SEEN) == frozen.replace("{iris}", shadow)


def test_new_data_needs_its_collection_in_the_query() -> None:
    """A query whose new rows are those of a collection it does not read is refused when it is declared."""
    with pytest.raises(BadInput, match="about collection press, but the query reads iris"):
        check_job_query(Query(query="SELECT * FROM iris", new_data_only=True, collection="press"), COLLECTIONS)


def test_new_data_with_a_limit_is_refused() -> None:
    """A LIMIT that would lose new rows for good is refused; inside a subquery it is the author's own business."""
    limited = Query(query="SELECT * FROM iris ORDER BY a LIMIT 100", new_data_only=True, collection="iris")
    with pytest.raises(BadInput, match="LIMIT or OFFSET would leave new rows behind"):
        check_job_query(limited, COLLECTIONS)
    inner = Query(query="SELECT * FROM (SELECT * FROM iris LIMIT 100)", new_data_only=True, collection="iris")
    assert check_job_query(inner, COLLECTIONS).collections == ("iris",)


@given(st.text(alphabet=st.sampled_from("SELECT FROM iris()*,;'\"-/\n[]`=<>1a"), max_size=60))
def test_no_text_at_all_makes_the_check_fail(sql: str) -> None:
    """Whatever stands in a query, it is taken or refused with a reason."""
    with suppress(BadInput):
        check_query("SELECT " + sql, COLLECTIONS)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a::int, date_trunc('day', at), extract(epoch FROM at) FROM iris WHERE b ->> 'x' = 'y'",
        "SELECT DISTINCT ON (a) a, percentile_cont(0.5) WITHIN GROUP (ORDER BY b) FROM iris GROUP BY a",
        "SELECT x.value FROM press, LATERAL jsonb_array_elements(press.detail) AS x",
        "SELECT a[1:2], array_agg(b ORDER BY c) FILTER (WHERE d), string_agg(e, ',') FROM iris GROUP BY 1",
        "SELECT * FROM iris WHERE at > now() - interval '1 day' AND a SIMILAR TO 'x%' AND b ~ '^y' AND c ILIKE 'z'",
        "SELECT stddev(a), corr(a, b), to_char(at, 'YYYY'), row_to_json(iris), substring(c FROM 1 FOR 2) FROM iris",
        "SELECT * FROM iris ORDER BY a FETCH FIRST 3 ROWS ONLY",
    ],
)
def test_ordinary_postgresql_is_taken(sql: str) -> None:
    """A store on PostgreSQL is asked in PostgreSQL's SQL."""
    assert check_query(sql, COLLECTIONS, "postgres").collections


def test_names_in_capitals_are_quoted_on_postgresql() -> None:
    """PostgreSQL tells capitals apart, so a name with one is written in quotes, and the message says so."""
    assert check_query('SELECT * FROM "Press"', ["Press"], "postgres").collections == ("Press",)
    with pytest.raises(BadInput, match=r'there is no collection Press .*write "Press", in quotes'):
        check_query("SELECT * FROM Press", ["Press"], "postgres")


@pytest.mark.parametrize(
    ("sql", "dialect", "reason"),
    [
        ("SELECT * FROM orders; DROP TABLE orders", "postgres", "one statement"),
        ("SELECT * FROM pg_authid", "postgres", "the database's own pg_authid"),
        ("SELECT * FROM information_schema.tables", "mysql", "the database's own tables"),
        ("SELECT * FROM sqlite_master", "sqlite", "the database's own sqlite_master"),
        ("SELECT * FROM orders INTO OUTFILE '/tmp/x'", "mysql", "OUTFILE|line 1"),
        ("SELECT load_file('/etc/passwd') FROM orders", "mysql", r"cannot call load_file\(\)"),
        ("SELECT sleep(1000) FROM orders", "mysql", r"cannot call sleep\(\)"),
        ("SELECT benchmark(1e9, md5('x')) FROM orders", "mysql", r"cannot call benchmark\(\)"),
        ("SELECT * FROM orders", "firebird", "queries over firebird databases cannot be checked"),
        ("DELETE FROM orders", "tsql", "begins with 'DELETE'"),
        ("SELECT * FROM openrowset('x', 'y', 'z')", "tsql", r"cannot call openrowset\(\)"),
    ],
)
def test_queries_over_other_databases_only_read(sql: str, dialect: str, reason: str) -> None:
    """A source's tables are not known here; that one SELECT reads them, and nothing of the server's own, is."""
    with pytest.raises(BadInput, match=reason):
        check_source_query(sql, dialect)


def test_queries_over_other_databases_lose_their_comments() -> None:
    """What a comment hides, and some databases run, does not reach the database."""
    sql = "SELECT a /*!50000 , load_file('/x') */ FROM shop.orders -- all\n WHERE a > 1;"
    assert check_source_query(sql, "mysql").split() == ["SELECT", "a", "FROM", "shop.orders", "WHERE", "a", ">", "1"]
