"""Reads a query's text and writes it again without its comments; with ``query*.py`` the only home of sqlglot. Pure."""

import sqlglot
from sqlglot import Token, TokenType, exp
from sqlglot.errors import ParseError, TokenError

from schemas.errors import BadInput

_MAX_TOKENS = 20_000  # parsing so many takes about a second

_PARAMETERS = {TokenType.PLACEHOLDER, TokenType.PARAMETER}
_OTHER_STRINGS = {
    TokenType.BYTE_STRING,
    TokenType.HEREDOC_STRING,
    TokenType.NATIONAL_STRING,
    TokenType.RAW_STRING,
    TokenType.UNICODE_STRING,
}
"""How these end and what they mean, databases and versions disagree."""


class SqlText:
    """One statement that begins like a SELECT: its text, its tokens and its tree.

    Raises:
        BadInput: it cannot be read, is more than one statement, or has parameters.
    """

    def __init__(self, sql: str, dialect: str) -> None:
        if "\x00" in sql:
            raise BadInput("the query holds a NUL character")
        self._sql = sql
        try:
            self.tokens = _one_statement(sqlglot.tokenize(sql, read=dialect), dialect)
            self.text = self.rewritten(self.tokens)
            tree = sqlglot.parse_one(self.text, read=dialect)
        except TokenError as error:
            raise BadInput(f"the query cannot be read ({error}); is a quote or a comment left open?") from None
        except ParseError as error:
            raise BadInput(_message(error)) from None
        if not isinstance(tree, exp.Select | exp.SetOperation):
            raise BadInput(f"a query is one SELECT; this is {type(tree).__name__.upper()}")
        self.tree: exp.Query = tree

    @property
    def has_with(self) -> bool:
        """It begins with common table expressions of its own."""
        return self.tokens[0].token_type is TokenType.WITH

    @property
    def recursive(self) -> bool:
        """They may refer to themselves."""
        return self.has_with and self.tokens[1].token_type is TokenType.RECURSIVE

    def place_of(self, name: str) -> str:
        """Where a name stands, for a message."""
        return next((f" {_place(token)}" for token in self.tokens if token.text.lower() == name.lower()), "")

    def body(self, ordered_by: str) -> str:
        """What stands behind the leading WITH or WITH RECURSIVE, or all, with an order for the outermost SELECT."""
        return self.rewritten(self.tokens[self.has_with + self.recursive :], ordered_by)

    def rewritten(self, tokens: list[Token], ordered_by: str = "") -> str:
        """The tokens as they were written and where they stood, without comments: on those, SQL dialects disagree."""
        pieces, end = [], 0
        limit = _last_limit(tokens) if ordered_by else None
        for index, token in enumerate(tokens):
            pieces.append("".join("\n" if character == "\n" else " " for character in self._sql[end : token.start]))
            if index == limit:
                pieces.append(f"{ordered_by} ")
            pieces.append(self._sql[token.start : token.end + 1])
            end = token.end + 1
        if ordered_by and limit is None:
            pieces.append(f" {ordered_by}")
        return "".join(pieces)


def _one_statement(tokens: list[Token], dialect: str) -> list[Token]:
    while tokens and tokens[-1].token_type is TokenType.SEMICOLON:
        tokens.pop()
    if not tokens:
        raise BadInput("the query is empty")
    if tokens[0].token_type not in {TokenType.SELECT, TokenType.WITH}:
        raise BadInput(f"a query is one SELECT (or WITH … SELECT); this begins with {tokens[0].text!r}")
    if len(tokens) > _MAX_TOKENS:
        raise BadInput(f"the query has {len(tokens)} words and signs; {_MAX_TOKENS} can be checked")
    for token in tokens:
        if token.token_type is TokenType.SEMICOLON:
            raise BadInput(f"a query is one statement; a second one begins after the ; {_place(token)}")
        if _is_parameter(token, dialect):
            raise BadInput(f"{token.text!r} {_place(token)} stands for a parameter, and queries are given none")
        if token.token_type in _OTHER_STRINGS:
            raise BadInput(f"write the text {_place(token)} in plain quotes: '…', with '' for a quote")
    return tokens


def _is_parameter(token: Token, dialect: str) -> bool:
    if token.token_type is TokenType.COLON:
        return dialect != "postgres"  # there it is part of an array's slice, as in a[1:2]
    return token.token_type in _PARAMETERS or (token.token_type is TokenType.VAR and token.text.startswith("$"))


def _last_limit(tokens: list[Token]) -> int | None:
    """Where the LIMIT, OFFSET or FETCH of the outermost SELECT begins."""
    depth, found = 0, None
    for index, token in enumerate(tokens):
        depth += (token.token_type is TokenType.L_PAREN) - (token.token_type is TokenType.R_PAREN)
        if found is None and depth == 0 and token.token_type in {TokenType.LIMIT, TokenType.OFFSET, TokenType.FETCH}:
            found = index
    return found


def _place(token: Token) -> str:
    return f"(line {token.line}, column {token.col - (token.end - token.start)})"


def _message(error: ParseError) -> str:
    if not error.errors:
        return f"the query cannot be read: {error}"
    first = error.errors[0]
    near = str(first["highlight"])
    column = int(first["col"]) - len(near) + 1
    return f"line {first['line']}, column {column}, near {near!r}: {first['description']}"
