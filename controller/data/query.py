"""Checks that a query is one SELECT over collections; the only home of sqlglot. Pure."""

from collections.abc import Iterable, Mapping

import sqlglot
from sqlglot import Token, TokenType, exp
from sqlglot.errors import ParseError, TokenError

from controller.data.query_functions import ALLOWED_FUNCTIONS, TABLE_FUNCTIONS
from controller.data.query_window import CheckedQuery
from schemas.errors import BadInput
from schemas.queries import Query

_PARAMETERS = {TokenType.PLACEHOLDER, TokenType.PARAMETER, TokenType.COLON}


def check_query(sql: str, collections: Iterable[str]) -> CheckedQuery:
    """Check a query against the collections that there are.

    Raises:
        BadInput: it is not one single SELECT over them; the message says what is wrong and where.
    """
    known = {name.lower(): name for name in collections}
    try:
        tokens, tree = _parse(sql)
        _refuse_other_than_reading(tree, tokens)
        own = frozenset(cte.alias.lower() for cte in tree.find_all(exp.CTE))
        read = _collections_read(tree, tokens, known, own)
        ordered_by = _natural_order(tree, known)
    except RecursionError:
        raise BadInput("the query is nested too deep to be checked") from None
    except TokenError as error:
        raise BadInput(f"the query cannot be read ({error}); is a quote or a comment left open?") from None
    except ParseError as error:
        raise BadInput(_parse_message(error)) from None
    has_with, recursive = _leading_with(tokens)
    return CheckedQuery(
        collections=read,
        own=own,
        limited=tree.args.get("limit") is not None,
        has_with=has_with,
        recursive=recursive,
        body=_text(tokens[has_with + recursive :], sql, ordered_by),
    )


def check_job_query(query: Query, collections: Iterable[str]) -> CheckedQuery:
    """Check a job's query, and that its new rows can be told from those seen before.

    Raises:
        BadInput: see ``check_query``; or the query does not read the collection whose new rows are meant, or has a
            LIMIT that would leave new rows behind which no later run sees.
    """
    checked = check_query(query.query, collections)
    if not query.new_data_only:
        return checked
    for name in query.new_in:
        if name not in checked.collections:
            raise BadInput(
                f"new_data_only is about collection {name}, but the query reads {' and '.join(checked.collections)}"
            )
    if checked.limited:
        raise BadInput(
            "with new_data_only, a LIMIT would leave new rows behind that no later run sees; "
            "remove it, or put it into a subquery if that is what you want"
        )
    return checked


def _parse(sql: str) -> tuple[list[Token], exp.Query]:
    if "\x00" in sql:
        raise BadInput("the query holds a NUL character")
    tokens = sqlglot.tokenize(sql, read="sqlite")
    while tokens and tokens[-1].token_type is TokenType.SEMICOLON:
        tokens.pop()
    if not tokens:
        raise BadInput("the query is empty")
    if tokens[0].token_type not in {TokenType.SELECT, TokenType.WITH}:
        raise BadInput(f"a query is one SELECT (or WITH … SELECT); this begins with {tokens[0].text!r}")
    for token in tokens:
        if token.token_type is TokenType.SEMICOLON:
            raise BadInput(f"a query is one statement; a second one begins after the ; {_place(token)}")
        if token.token_type in _PARAMETERS or (token.token_type is TokenType.VAR and token.text.startswith("$")):
            raise BadInput(f"{token.text!r} {_place(token)} stands for a parameter, and queries are given none")
    tree = sqlglot.parse_one(_text(tokens, sql), read="sqlite")
    if not isinstance(tree, exp.Select | exp.SetOperation):
        raise BadInput(f"a query is one SELECT; this is {type(tree).__name__.upper()}")
    return tokens, tree


def _refuse_other_than_reading(tree: exp.Query, tokens: list[Token]) -> None:
    for node in tree.find_all(
        exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Drop, exp.Into, exp.Command
    ):
        raise BadInput(f"queries only read, and {type(node).__name__.upper()} does not")
    for node in tree.find_all(exp.In):
        field = node.args.get("field")
        if field is not None:
            raise BadInput(f"IN is followed by a list or a SELECT in brackets, not by {field.name}")
    for call in tree.find_all(exp.Func):
        is_table = isinstance(call.parent, exp.Table)
        if isinstance(call, exp.Anonymous) or is_table:  # the other ones it knows only compute
            name = call.name if isinstance(call, exp.Anonymous) else call.sql_name()
            if name.lower() not in (TABLE_FUNCTIONS if is_table else ALLOWED_FUNCTIONS):
                raise BadInput(f"queries cannot call {name.lower()}(){_find(tokens, name)}")


def _collections_read(
    tree: exp.Query, tokens: list[Token], known: Mapping[str, str], own: frozenset[str]
) -> tuple[str, ...]:
    for name in sorted(own & known.keys()):
        raise BadInput(f"WITH {name} hides the collection of that name{_find(tokens, name)}; call it something else")
    read: dict[str, None] = {}
    for table in tree.find_all(exp.Table):
        name = table.name.lower()
        if table.db or table.catalog:
            raise BadInput(f"name a collection without a schema: {table.name}, not {table.db}.{table.name}")
        if isinstance(table.this, exp.Func) or name in own:
            continue
        if name not in known:
            there_are = ", ".join(sorted(known.values())) or "none"
            raise BadInput(f"there is no collection {table.name}{_find(tokens, table.name)}; there are: {there_are}")
        read[known[name]] = None
    if not read:
        raise BadInput("the query reads no collection")
    return tuple(read)


def _natural_order(tree: exp.Query, known: Mapping[str, str]) -> str:
    """The order that a plain SELECT from one collection gets when it names none: that of arrival."""
    if not isinstance(tree, exp.Select) or any(
        tree.args.get(part) for part in ("order", "group", "having", "distinct", "joins", "laterals", "windows")
    ):
        return ""
    source = tree.args.get("from_") or tree.args.get("from")  # the key has changed between versions of sqlglot
    table = source.this if isinstance(source, exp.From) else None
    if not isinstance(table, exp.Table) or table.name.lower() not in known or table.args.get("joins"):
        return ""
    if any(projection.find(exp.AggFunc) for projection in tree.expressions):
        return ""
    name = table.alias_or_name.replace('"', '""')
    return f'ORDER BY "{name}"."position"'


def _leading_with(tokens: list[Token]) -> tuple[bool, bool]:
    has_with = tokens[0].token_type is TokenType.WITH
    return has_with, has_with and tokens[1].token_type is TokenType.RECURSIVE


def _text(tokens: list[Token], sql: str, ordered_by: str = "") -> str:
    """The tokens as they were written and where they stood, without comments: on those, SQL dialects disagree."""
    pieces, end = [], 0
    limit = _last_limit(tokens) if ordered_by else None
    for index, token in enumerate(tokens):
        pieces.append("".join("\n" if character == "\n" else " " for character in sql[end : token.start]))
        if index == limit:
            pieces.append(f"{ordered_by} ")
        pieces.append(sql[token.start : token.end + 1])
        end = token.end + 1
    if ordered_by and limit is None:
        pieces.append(f" {ordered_by}")
    return "".join(pieces)


def _last_limit(tokens: list[Token]) -> int | None:
    """Where the LIMIT of the outermost SELECT stands."""
    depth, found = 0, None
    for index, token in enumerate(tokens):
        depth += (token.token_type is TokenType.L_PAREN) - (token.token_type is TokenType.R_PAREN)
        if depth == 0 and token.token_type is TokenType.LIMIT:
            found = index
    return found


def _place(token: Token) -> str:
    return f"(line {token.line}, column {token.col - (token.end - token.start)})"


def _find(tokens: list[Token], name: str) -> str:
    """Where a name stands, for a message."""
    return next((f" {_place(token)}" for token in tokens if token.text.lower() == name.lower()), "")


def _parse_message(error: ParseError) -> str:
    if not error.errors:
        return f"the query cannot be read: {error}"
    first = error.errors[0]
    near = str(first["highlight"])
    column = int(first["col"]) - len(near) + 1
    return f"line {first['line']}, column {column}, near {near!r}: {first['description']}"
