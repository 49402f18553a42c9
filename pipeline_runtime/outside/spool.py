"""Rows on their way into a collection, in an SQLite file: written by a node, read and deleted by the agent.

One process appends and another deletes; both may die at any moment. What ``append`` has returned for is on the disk.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from schemas.errors import Unreachable

FILE_NAME = "rows.sqlite"
BUSY_S = 10.0
REMEMBERED = 256
"""Messages whose rows are known to be here; a broker leaves far fewer unacknowledged, and so sends again no others."""

_TABLES = """
CREATE TABLE IF NOT EXISTS spool (id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS rows (sequence INTEGER PRIMARY KEY AUTOINCREMENT, collection TEXT, row BLOB);
CREATE TABLE IF NOT EXISTS messages (number INTEGER PRIMARY KEY AUTOINCREMENT, mark BLOB);
"""


@dataclass(frozen=True, slots=True)
class Gathered:
    """The rows that one message gave."""

    mark: bytes  # tells the message from others
    again: bool  # the broker sent it before
    rows: tuple[bytes, ...]  # as JSON


@dataclass(frozen=True, slots=True)
class Waiting:
    """The oldest rows of a spool: consecutive, and of one collection."""

    collection: str
    first: int  # the sequence number of the first
    rows: tuple[bytes, ...]

    @property
    def last(self) -> int:
        """The sequence number of the last."""
        return self.first + len(self.rows) - 1


class Spool:
    """An open spool. Every method blocks on the disk, and may raise Unreachable: then it did nothing."""

    def __init__(self, file: Path) -> None:
        """Open it, or make it."""
        self._file = file
        with self._said_plainly():
            file.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(file, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            # FULL: a message is acknowledged after its rows are here, so they must outlive a power failure.
            try:
                for pragma in ("journal_mode=WAL", "synchronous=FULL"):
                    self._connection.execute(f"PRAGMA {pragma}")
                self.id = UUID(self._made())
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def append(self, collection: str, gathered: Sequence[Gathered]) -> None:
        """Add rows; those of a message that the broker sent again are left out if they were added before."""
        with self._writing() as connection:
            known = Counter(mark for (mark,) in connection.execute("SELECT mark FROM messages"))
            for message in gathered:
                if message.again and known[message.mark]:
                    known[message.mark] -= 1
                    continue
                known[message.mark] += 1
                added = [(collection, row) for row in message.rows]
                connection.executemany("INSERT INTO rows (collection, row) VALUES (?, ?)", added)
                connection.execute("INSERT INTO messages (mark) VALUES (?)", [message.mark])
            oldest = "SELECT max(number) FROM messages"
            connection.execute(f"DELETE FROM messages WHERE number <= ({oldest}) - ?", [REMEMBERED])  # noqa: S608

    @property
    def size_bytes(self) -> int:
        """How much of the disk its rows take."""
        with self._said_plainly():
            pages, free, size = (
                self._connection.execute(f"PRAGMA {pragma}").fetchone()[0]
                for pragma in ("page_count", "freelist_count", "page_size")
            )
            return int((pages - free) * size)

    def oldest(self, most_bytes: int) -> Waiting | None:
        """The rows to send next: at least one, if there are any, and then as many as fit."""
        with self._said_plainly():
            found = self._connection.execute("SELECT sequence, collection, row FROM rows ORDER BY sequence")
            head = found.fetchone()
            if head is None:
                return None
            first, collection, row = head
            rows, size = [row], len(row)
            for sequence, of, row in found:
                size += len(row) + 1
                if size > most_bytes or (sequence, of) != (first + len(rows), collection):
                    break
                rows.append(row)
            found.close()
            return Waiting(collection, first, tuple(rows))

    def forget(self, upto: int) -> None:
        """Delete rows up to this sequence number: the controller has them."""
        with self._writing() as connection:
            connection.execute("DELETE FROM rows WHERE sequence <= ?", [upto])

    def begin_anew(self) -> None:
        """Go on as another spool with the same rows: of this one, the controller has numbers that stand for others."""
        changed = uuid4()
        with self._writing() as connection:
            connection.execute("UPDATE spool SET id = ?", [str(changed)])
        self.id = changed

    def _made(self) -> str:
        with self._writing() as connection:
            for statement in filter(str.strip, _TABLES.split(";")):
                connection.execute(statement)
            found = connection.execute("SELECT id FROM spool").fetchone()
            if found is None:
                found = (str(uuid4()),)
                connection.execute("INSERT INTO spool VALUES (?)", found)
            return str(found[0])

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._said_plainly():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _said_plainly(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:  # locked, full, read-only, no database
            raise Unreachable(f"the rows in {self._file} cannot be kept: {error}") from error
