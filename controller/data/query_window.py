"""Freezes a checked query to some rows of its collections. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.collections import ColumnType
from schemas.models import Window


@dataclass(frozen=True, slots=True)
class Seen:
    """The rows of a collection that a query sees: those in a window, and of these those that meet a condition."""

    window: Window
    condition: str = ""  # SQL over the collection's own columns; empty: all

    @property
    def sql(self) -> str:
        """What follows WHERE."""
        rows = f"position > {self.window.after:d} AND position <= {self.window.upto:d}"
        return f"{rows} AND {self.condition}" if self.condition else rows


@dataclass(frozen=True, slots=True)
class CheckedQuery:
    """A query that may run, in the words in which it was written but for its comments."""

    collections: tuple[str, ...]  # the ones it reads, as they were declared
    own: frozenset[str]  # its own common table expressions, lower case
    limited: bool  # its outermost SELECT leaves rows out by a LIMIT or an OFFSET
    has_with: bool  # ``body`` goes on with the query's own common table expressions
    recursive: bool
    body: str
    origins: Mapping[str, str | ColumnType | None] = field(default_factory=dict)
    """By the lower-case name of a result column: the column that it plainly is, or the type to which it is cast; None:
    it is computed. One that is not in here came by ``*``, under its own name."""

    @property
    def names(self) -> frozenset[str]:
        """Every common table expression of the SQL that ``within`` makes, in lower case."""
        return self.own | {name.lower() for name in self.collections}

    def within(self, seen: Mapping[str, Seen], *, schema: str = "main") -> str:
        """The SQL that sees only these rows, of each of ``collections``, in the store's ``schema``.

        Each collection is shadowed by a common table expression of its name, so that the query's own joins,
        aliases, conditions and order go on meaning what they meant.
        """
        shadows = ", ".join(f'"{name}" AS ({shadow(name, seen[name], schema=schema)})' for name in self.collections)
        return f"WITH {'RECURSIVE ' if self.recursive else ''}{shadows}{',' if self.has_with else ''}\n{self.body}"


def shadow(name: str, seen: Seen, *, schema: str, columns: str = "*") -> str:
    """A SELECT of the rows that are seen; the schema's name reaches past a common table expression to the table."""
    return f'SELECT {columns} FROM {schema}."{name}" WHERE {seen.sql}'  # noqa: S608 - declared identifiers, our integers
