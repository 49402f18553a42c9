"""What a query may not contain, wherever it runs: anything but reading and computing. Pure."""

import re

from sqlglot import exp

from controller.data.query_functions import allowed_functions
from controller.data.sql_text import SqlText
from schemas.errors import BadInput

_OTHER_THAN_READING = (
    exp.Insert,
    exp.Update,
    exp.Delete,
    exp.Merge,
    exp.Create,
    exp.Drop,
    exp.Into,
    exp.Lock,
    exp.Command,
)

_REFUSED_SYNTAX = (
    *(exp.CurrentUser, exp.CurrentRole, exp.SessionUser, exp.CurrentCatalog, exp.CurrentSchema),
    *(exp.XMLElement, exp.XMLTable, exp.JSONTable, exp.OpenJSON, exp.MatchAgainst, exp.GapFill),
)
"""What the parser reads by rules of its own, not as a name before brackets, and is no operator or mere computation."""

_TYPES = frozenset(
    {
        *("TINYINT", "SMALLINT", "MEDIUMINT", "INT", "BIGINT", "UINT", "UBIGINT", "DECIMAL", "FLOAT", "DOUBLE", "BIT"),
        *("BOOLEAN", "CHAR", "NCHAR", "BPCHAR", "VARCHAR", "NVARCHAR", "TEXT", "BLOB", "BINARY", "VARBINARY", "UUID"),
        *("DATE", "TIME", "TIMETZ", "TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMPLTZ", "TIMESTAMPNTZ", "DATETIME", "INTERVAL"),
        *("JSON", "JSONB", "ARRAY"),
    }
)
"""To which a query may cast. Others, such as PostgreSQL's regclass, look into the database itself."""


_FORMATTING = frozenset({"printf", "format"})
_WIDE = re.compile(r"\*|\d{4}")


def refuse_other_than_reading(sql: SqlText, dialect: str) -> None:
    """Refuse whatever does more than read rows and compute. Raises BadInput."""
    for node in sql.tree.find_all(*_OTHER_THAN_READING):
        what = "FOR UPDATE" if isinstance(node, exp.Lock) else type(node).__name__.upper()
        raise BadInput(f"queries only read, and {what} does not")
    for node in sql.tree.find_all(exp.In):
        field = node.args.get("field")
        if field is not None:
            raise BadInput(f"IN is followed by a list or a SELECT in brackets, not by {field.name}")
    for node in sql.tree.find_all(exp.Operator):
        raise BadInput(f"write the operator itself instead of OPERATOR({node.args['operator']})")
    for node in sql.tree.find_all(exp.DataType):
        kind = str(getattr(node.this, "name", node.this))
        if kind not in _TYPES:
            raise BadInput(f"queries cannot make a {node.sql(dialect).lower()}")
    _refuse_calls(sql, dialect)


def _refuse_calls(sql: SqlText, dialect: str) -> None:
    in_expressions, as_tables = allowed_functions(dialect)
    for call in sql.tree.find_all(exp.Func):
        name = _written_name(call, sql.text)
        allowed = as_tables if isinstance(call.parent, exp.Table | exp.Lateral) else in_expressions
        if name not in allowed and (name or isinstance(call.parent, exp.Table) or isinstance(call, _REFUSED_SYNTAX)):
            name = name or call.sql_name().lower()
            raise BadInput(f"queries cannot call {name}(){sql.place_of(name)}")
        if name in _FORMATTING:
            _refuse_wide_format(call, name)


def _refuse_wide_format(call: exp.Func, name: str) -> None:
    """One call of it could take many seconds, and a database looks at its limit of time between calls only."""
    wanted = next((part for part in (call.this, *call.expressions) if isinstance(part, exp.Expression)), None)
    if not (isinstance(wanted, exp.Literal) and wanted.is_string) or _WIDE.search(wanted.name):
        raise BadInput(f"the first argument of {name}() is a text, without * and widths beyond 999")


def _written_name(call: exp.Func, text: str) -> str:
    """What stands before the brackets, in lower case, empty if none: the parser knows many by another name."""
    if isinstance(call, exp.Anonymous):
        return call.name.lower()
    if "start" in call.meta:
        return text[call.meta["start"] : call.meta["end"] + 1].strip('"`[]').lower()
    return ""
