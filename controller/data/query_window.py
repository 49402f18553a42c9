"""Freezes a checked query to the rows between given positions. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.models import Window


@dataclass(frozen=True, slots=True)
class CheckedQuery:
    """A query that may run, in the words in which it was written but for its comments."""

    collections: tuple[str, ...]  # the ones it reads, as they were declared
    own: frozenset[str]  # its own common table expressions, lower case
    limited: bool  # its outermost SELECT has a LIMIT
    has_with: bool  # ``body`` goes on with the query's own common table expressions
    recursive: bool
    body: str

    @property
    def names(self) -> frozenset[str]:
        """Every common table expression of the SQL that ``within`` makes, in lower case."""
        return self.own | {name.lower() for name in self.collections}

    def within(self, windows: Mapping[str, Window]) -> str:
        """The SQL that sees only the rows in these windows, one for each of ``collections``.

        Each collection is shadowed by a common table expression of its name, so that the query's own joins,
        aliases, conditions and order go on meaning what they meant.
        """
        shadows = ", ".join(_shadow(name, windows[name]) for name in self.collections)
        return f"WITH {'RECURSIVE ' if self.recursive else ''}{shadows}{',' if self.has_with else ''}\n{self.body}"


def _shadow(name: str, window: Window) -> str:
    """A common table expression in front of a collection; its ``main.`` reaches past itself to the table."""
    rows = f"position > {window.after:d} AND position <= {window.upto:d}"
    return f'"{name}" AS (SELECT * FROM main."{name}" WHERE {rows})'  # noqa: S608 - declared identifiers and integers
