"""What a person's query may do on PostgreSQL, told from what PostgreSQL itself made of its text.

PostgreSQL has no hook that asks before each thing a statement does. But it parses a view's query without running it,
and keeps the tree, in which every table and every function has its number, however the text wrote it. So the query
becomes a temporary view in a transaction that is undone, and the numbers are looked up.
"""

import re
from collections.abc import Collection

import psycopg
from psycopg import sql as text

from schemas.errors import BadInput

_VIEW = "tidemill$looked_at"
_TABLES = re.compile(r":relid (\d+)")  # a name that says the same would have its spaces and colons escaped
_FUNCTIONS = re.compile(r":(?:funcid|opfuncid|aggfnoid|winfnoid|hashfuncid|tsmhandler) (\d+)")

_MAY_VARY = frozenset({"random", "clock_timestamp", "timeofday", "statement_timestamp", "transaction_timestamp"})
"""Functions that give something else each time, and still only compute."""

_TELLS = re.compile(
    r"pg_(?!column_size$)|lo_|has_|txid_|inet_(client|server)_|current_setting$|version$|.*_to_xml|.*_description$"
)
"""Names of functions that do not write, yet tell of the server, or read tables that they are given by name."""


class PostgresGuard:
    """Looks at queries on a connection that is in a transaction in which it may make a temporary view."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def check(self, sql: str, *, schema: str, tables: Collection[str] | None) -> None:
        """Refuse a query that would do more than read and compute. It is parsed, and not run.

        Args:
            sql: One statement.
            schema: Where its tables are.
            tables: The ones it may read; None: all but the server's own.

        Raises:
            BadInput: it calls a function or reads a table that it may not; the message says which.
            psycopg.Error: PostgreSQL cannot parse it.
        """
        with self._connection.transaction(force_rollback=True):
            tree = self._tree(sql)
            self._check_tables(tree, schema, tables)
            self._check_functions(tree)

    def _tree(self, sql: str) -> str:
        # EXISTS: a view cannot have two columns of one name. Binary: only so is a second statement refused.
        view = text.SQL("CREATE TEMPORARY VIEW {} AS SELECT 1 AS one WHERE EXISTS (\n{}\n)")
        wrapped = view.format(text.Identifier(_VIEW), text.SQL(sql)).as_bytes(self._connection)
        self._connection.execute(wrapped, binary=True)
        found = self._connection.execute(
            "SELECT ev_action::text FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class "
            "WHERE c.relname = %s AND c.relnamespace = pg_my_temp_schema()",
            [_VIEW],
        ).fetchone()
        assert found is not None  # noqa: S101 - it was made just now
        return str(found[0])

    def _check_tables(self, tree: str, schema: str, tables: Collection[str] | None) -> None:
        numbers = [int(number) for number in _TABLES.findall(tree)]
        for name, place, is_table in self._connection.execute(
            """SELECT c.relname, CASE n.oid WHEN pg_my_temp_schema() THEN 'pg_temp' ELSE n.nspname END, c.relkind = 'r'
               FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
               WHERE c.oid = ANY(%s) AND NOT (c.relname = %s AND n.oid = pg_my_temp_schema())""",
            [numbers, _VIEW],
        ):
            if tables is None and not (place.startswith("pg_") or place == "information_schema"):
                continue
            if tables is None or place != schema or name not in tables or not is_table:
                raise BadInput(f"the query reads {place}.{name}, which it may not")

    def _check_functions(self, tree: str) -> None:
        numbers = [int(number) for number in _FUNCTIONS.findall(tree)]
        for name, place, changes in self._connection.execute(
            """SELECT p.proname, n.nspname, p.provolatile = 'v'
               FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
               WHERE p.oid = ANY(%s)""",
            [numbers],
        ):
            if place != "pg_catalog" or (changes and name not in _MAY_VARY) or _TELLS.match(name):
                raise BadInput(f"the query calls {name}(), which queries cannot")
