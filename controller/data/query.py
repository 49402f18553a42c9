"""Checks that a query is one SELECT over collections, or over a database that only it reads from. Pure."""

from collections.abc import Iterable, Mapping

from sqlglot import Dialect, exp

from controller.data.query_functions import POSTGRES_AGGREGATES
from controller.data.query_rules import refuse_other_than_reading
from controller.data.query_window import CheckedQuery
from controller.data.sql_text import SqlText
from schemas.collections import ColumnType
from schemas.errors import BadInput
from schemas.queries import Query

_TOO_DEEP = "the query is nested too deep to be checked"
_SYSTEM_SCHEMAS = {"pg_catalog", "information_schema", "pg_toast", "mysql", "performance_schema", "sys", "temp"}
_SYSTEM_TABLES = ("pg_", "sqlite_", "pragma_", "dbstat")
_CAST_TO = {
    "TEXT": ColumnType.TEXT,
    "VARCHAR": ColumnType.TEXT,
    "SMALLINT": ColumnType.INTEGER,
    "INT": ColumnType.INTEGER,
    "BIGINT": ColumnType.INTEGER,
    "FLOAT": ColumnType.REAL,
    "DOUBLE": ColumnType.REAL,
    "BOOLEAN": ColumnType.BOOLEAN,
}


def check_query(sql: str, collections: Iterable[str], dialect: str = "sqlite") -> CheckedQuery:
    """Check a query against the collections that there are.

    Args:
        sql: As its author wrote it.
        collections: Their names, as declared.
        dialect: The one of the store that holds them: ``sqlite`` or ``postgres``.

    Raises:
        BadInput: it is not one single SELECT over them; the message says what is wrong and where.
    """
    known = {_as_sql_sees(name, dialect): name for name in collections}
    try:
        text = SqlText(sql, dialect)
        refuse_other_than_reading(text, dialect)
        own = frozenset(cte.alias.lower() for cte in text.tree.find_all(exp.CTE))
        read = _collections_read(text, known, own, dialect)
        ordered_by = _natural_order(text.tree, known)
        origins = _origins(text.tree)
    except RecursionError:
        raise BadInput(_TOO_DEEP) from None
    return CheckedQuery(
        collections=read,
        own=own,
        limited=any(text.tree.args.get(part) is not None for part in ("limit", "offset")),
        has_with=text.has_with,
        recursive=text.recursive,
        body=text.body(ordered_by),
        origins=origins,
    )


def check_source_query(sql: str, dialect: str) -> str:
    """Check a query over another database, and give its text as it may run there: without comments.

    Args:
        sql: As its author wrote it.
        dialect: What that database speaks, by sqlglot's name for it.

    Raises:
        BadInput: it is not one single SELECT, or reads the database's own tables.
    """
    if Dialect.get(dialect) is None:
        raise BadInput(f"queries over {dialect} databases cannot be checked, and so cannot run")
    try:
        text = SqlText(sql, dialect)
        refuse_other_than_reading(text, dialect)
        for table in text.tree.find_all(exp.Table):
            name, schema = table.name.lower(), table.db.lower()
            if schema in _SYSTEM_SCHEMAS or schema.startswith("pg_") or name.startswith(_SYSTEM_TABLES):
                raise BadInput(f"queries cannot read the database's own {table.name}{text.place_of(table.name)}")
    except RecursionError:
        raise BadInput(_TOO_DEEP) from None
    return text.text


def check_job_query(query: Query, collections: Iterable[str], dialect: str = "sqlite") -> CheckedQuery:
    """Check a job's query, and that its new rows can be told from those seen before.

    Raises:
        BadInput: see ``check_query``; or the query does not read the collection whose new rows are meant, or has a
            LIMIT that would leave new rows behind which no later run sees.
    """
    checked = check_query(query.query, collections, dialect)
    if not query.new_data_only:
        return checked
    for name in query.new_in:
        if name not in checked.collections:
            raise BadInput(
                f"new_data_only is about collection {name}, but the query reads {' and '.join(checked.collections)}"
            )
    if checked.limited:
        raise BadInput(
            "with new_data_only, a LIMIT or OFFSET would leave new rows behind that no later run sees; remove it "
            "(the job's max_rows leaves what is too much for the next run), or put it into a subquery if you want that"
        )
    return checked


def _as_sql_sees(name: str, dialect: str) -> str:
    """SQLite does not tell upper from lower case; PostgreSQL does, in names in quotes."""
    return name if dialect == "postgres" else name.lower()


def _collections_read(text: SqlText, known: Mapping[str, str], own: frozenset[str], dialect: str) -> tuple[str, ...]:
    for name in sorted(own & {name.lower() for name in known.values()}):
        raise BadInput(f"WITH {name} hides the collection of that name{text.place_of(name)}; call it something else")
    read: dict[str, None] = {}
    for table in text.tree.find_all(exp.Table):
        if table.db or table.catalog:
            raise BadInput(f"name a collection without a schema: {table.name}, not {table.db}.{table.name}")
        if isinstance(table.this, exp.Func) or table.name.lower() in own:
            continue
        name = table.name if dialect == "postgres" and table.this.args.get("quoted") else table.name.lower()
        if name not in known:
            raise BadInput(_unknown(table.name, text, known.values()))
        read[known[name]] = None
    if not read:
        raise BadInput("the query reads no collection")
    return tuple(read)


def _unknown(name: str, text: SqlText, known: Iterable[str]) -> str:
    there_are = ", ".join(sorted(known)) or "none"
    quoting = next((f'; write "{other}", in quotes' for other in known if other.lower() == name.lower()), "")
    return f"there is no collection {name}{text.place_of(name)}; there are: {there_are}{quoting}"


def _natural_order(tree: exp.Query, known: Mapping[str, str]) -> str:
    """The order that a plain SELECT from one collection gets when it names none: that of arrival."""
    if not isinstance(tree, exp.Select) or any(
        tree.args.get(part) for part in ("order", "group", "having", "distinct", "joins", "laterals", "windows")
    ):
        return ""
    source = tree.args.get("from_")
    table = source.this if isinstance(source, exp.From) else None
    if not isinstance(table, exp.Table) or table.args.get("joins") or isinstance(table.this, exp.Func):
        return ""
    if table.name not in known and table.name.lower() not in known:
        return ""
    if any(_aggregates(projection) for projection in tree.expressions):
        return ""
    alias = table.args.get("alias")
    shown = alias.this if isinstance(alias, exp.TableAlias) and alias.this else table.this
    name = shown.name if shown.args.get("quoted") else shown.name.lower()
    return 'ORDER BY "{}"."position"'.format(name.replace('"', '""'))


def _aggregates(projection: exp.Expression) -> bool:
    calls = projection.find_all(exp.AggFunc, exp.Anonymous)
    return any(isinstance(call, exp.AggFunc) or call.name.lower() in POSTGRES_AGGREGATES for call in calls)


def _origins(tree: exp.Query) -> dict[str, str | ColumnType | None]:
    """What the outermost SELECT's columns are; of a union, the first SELECT names them."""
    found: dict[str, str | ColumnType | None] = {}
    for projection in tree.selects:
        value = projection.unalias()
        origin: str | ColumnType | None = None
        if isinstance(value, exp.Column | exp.Star):
            if value.find(exp.Star) is not None:
                continue
            origin = value.name
        elif isinstance(value, exp.Cast):
            origin = _CAST_TO.get(str(getattr(value.to.this, "name", "")))
        found[projection.alias_or_name.lower()] = origin
    return found
