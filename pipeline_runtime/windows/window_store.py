"""What is in open windows, on disk: a killed worker finds it again.

Rows go into a journal, one short insert per message; now and then, and whenever a window closes, the panes that have
changed are written and the journal is emptied, in one transaction. Results lie here until they are delivered.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from pipeline_runtime.windows.panes import Pane, Panes, Place
from pipeline_runtime.windows.windows import Windows
from schemas.errors import BadInput

JOURNAL_ROWS = 1000  # before the panes are written again

Row = tuple[str, int, Sequence[object]]
"""Key, time, and a value for each aggregate."""

_TABLES = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS panes (key TEXT, start INTEGER, rows INTEGER, states BLOB, PRIMARY KEY (key, start))
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS journal (number INTEGER PRIMARY KEY, key TEXT, at INTEGER, row BLOB);
CREATE TABLE IF NOT EXISTS results (number INTEGER PRIMARY KEY, value BLOB);
"""


@dataclass(slots=True)
class Kept:
    """What a node had when it was ended."""

    dropped: int = 0  # rows of windows that were made otherwise than the node's are now
    journal: list[Row] = field(default_factory=list)
    results: list[tuple[int, Any]] = field(default_factory=list)  # not known to be delivered, by number


class WindowStore:
    """The file of one node."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "windows.sqlite"
        self._written = 0  # rows in the journal
        self._whole = False  # whether the next transaction has to write all panes
        try:
            self._connection = sqlite3.connect(self._path, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")  # a kill loses nothing; a power cut the last moments
            self._connection.executescript(_TABLES)
        except sqlite3.Error as error:
            raise BadInput(f"{self._path}: windows cannot be kept there: {error}") from error

    def restore(self, windows: Windows, make: str) -> Kept:
        """Fill windows with what lies here. ``make`` tells windows of one making from those of another."""
        ask = self._connection.execute
        results = [(number, orjson.loads(value)) for number, value in ask("SELECT number, value FROM results")]
        facts = dict(ask("SELECT name, value FROM facts"))
        if facts.get("make", make) != make:
            return Kept(self._start_anew(make), results=results)
        ask("INSERT OR REPLACE INTO facts VALUES ('make', ?)", (make,))
        windows.watermark = facts.get("watermark", windows.watermark)
        windows.late = facts.get("late", 0)
        for key, start, rows, states in ask("SELECT key, start, rows, states FROM panes ORDER BY key, start"):
            windows.panes.put((key, start), Pane(rows, orjson.loads(states)))
        windows.restored()
        journal = [(key, at, orjson.loads(row)) for key, at, row in ask("SELECT key, at, row FROM journal")]
        self._written = len(journal)
        return Kept(0, journal, results)

    def _start_anew(self, make: str) -> int:
        (rows,) = self._connection.execute(
            "SELECT (SELECT COALESCE(SUM(rows), 0) FROM panes) + (SELECT COUNT(*) FROM journal)"
        ).fetchone()
        self._connection.executescript("BEGIN; DELETE FROM panes; DELETE FROM journal; DELETE FROM facts; COMMIT")
        self._connection.execute("INSERT INTO facts VALUES ('make', ?)", (make,))
        return int(rows)

    def write(
        self,
        windows: Windows,
        rows: Sequence[Row],
        results: Iterable[tuple[int, object]] = (),
        delivered: Iterable[int] = (),
    ) -> None:
        """Keep, in one transaction, rows that were added, results of windows that closed, and what was delivered.

        Raises:
            sqlite3.Error: the disk did not take it. The next transaction writes everything.
        """
        results = list(results)
        panes = windows.panes
        write, many = self._connection.execute, self._connection.executemany
        whole = self._whole or bool(results or panes.gone) or self._written + len(rows) > JOURNAL_ROWS
        self._whole = True
        write("BEGIN IMMEDIATE")
        try:
            many("DELETE FROM results WHERE number = ?", [(number,) for number in delivered])
            many(
                "INSERT OR REPLACE INTO results VALUES (?, ?)", [(number, orjson.dumps(one)) for number, one in results]
            )
            if whole:
                many("DELETE FROM panes WHERE key = ? AND start = ?", list(panes.gone))
                many("INSERT OR REPLACE INTO panes VALUES (?, ?, ?, ?)", _pane_rows(panes, panes.changed))
                many(
                    "INSERT OR REPLACE INTO facts VALUES (?, ?)",
                    [("watermark", windows.watermark), ("late", windows.late)],
                )
                write("DELETE FROM journal")
            else:
                many("INSERT INTO journal (key, at, row) VALUES (?, ?, ?)", _journal_rows(rows))
            write("COMMIT")
        except BaseException:
            self._connection.rollback()
            raise
        self._whole = False
        self._written = 0 if whole else self._written + len(rows)
        if whole:
            panes.changed.clear()
            panes.gone.clear()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


def _pane_rows(panes: Panes, places: Iterable[Place]) -> list[tuple[str, int, int, bytes]]:
    found = [(key, start, panes.of[key][start]) for key, start in places]
    return [(key, start, pane.rows, orjson.dumps(pane.states)) for key, start, pane in found]


def _journal_rows(rows: Iterable[Row]) -> list[tuple[str, int, bytes]]:
    return [(key, at, orjson.dumps(values)) for key, at, values in rows]
