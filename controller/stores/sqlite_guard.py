"""What a person's query may do in the database: SQLite asks it while it prepares the query and while it runs."""

import sqlite3
import time
from dataclasses import dataclass

from controller.data.query_functions import ALLOWED_FUNCTIONS, TABLE_FUNCTIONS


@dataclass(slots=True)
class Guard:
    """What the running statement may do; SQLite asks it."""

    collections: frozenset[str] | None = frozenset()  # the tables that it may read; None: all but SQLite's own
    own: frozenset[str] = frozenset()  # the statement's common table expressions
    deadline: float = 0.0
    denied: str = ""
    timed_out: bool = False

    def authorize(
        self, action: int, first: str | None, second: str | None, schema: str | None, _via: str | None
    ) -> int:
        """SQLite's question for everything a statement would do, while it is prepared."""
        match action:
            case sqlite3.SQLITE_SELECT | sqlite3.SQLITE_RECURSIVE:
                return sqlite3.SQLITE_OK
            case sqlite3.SQLITE_FUNCTION if second in ALLOWED_FUNCTIONS:
                return sqlite3.SQLITE_OK
            case sqlite3.SQLITE_READ if schema == "main" and self._may_read(first or ""):
                return sqlite3.SQLITE_OK
            case sqlite3.SQLITE_READ if not second and self._may_name((first or "").lower()):
                return sqlite3.SQLITE_OK  # named after FROM, with none of its columns used
            case sqlite3.SQLITE_READ:
                self.denied = self.denied or f"reads {first}, which it may not"
            case sqlite3.SQLITE_FUNCTION:
                self.denied = self.denied or f"calls {second}(), which queries cannot"
            case _:
                self.denied = self.denied or "does something else than read"
        return sqlite3.SQLITE_DENY

    def _may_name(self, table: str) -> bool:
        return table in self.own | TABLE_FUNCTIONS or (self.collections is None and self._may_read(table))

    def _may_read(self, table: str) -> bool:
        if table in TABLE_FUNCTIONS:
            return True
        if self.collections is None:
            return not table.lower().startswith(("sqlite_", "pragma_"))
        return table in self.collections

    def look(self) -> int:
        """SQLite's question every few steps whether to go on."""
        self.timed_out = time.monotonic() > self.deadline
        return self.timed_out
