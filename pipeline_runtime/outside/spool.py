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
REMEMBERED = 32_768
"""Messages whose rows are known to be here: more than brokers leave unacknowledged, and half of MQTT's packet ids, so
that none of these stands for two of them. Mosquitto's window of 20 grows by one with each acknowledgement."""
RECENT = 256
"""The last of them are known without their packet id too: a broker may number anew when it starts, as NATS does."""

_MARK_BYTES = 16

_TABLES = """
CREATE TABLE IF NOT EXISTS spool (id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS rows (sequence INTEGER PRIMARY KEY AUTOINCREMENT, collection TEXT, row BLOB);
CREATE TABLE IF NOT EXISTS messages (number INTEGER PRIMARY KEY AUTOINCREMENT, mark BLOB);
"""


@dataclass(frozen=True, slots=True)
class Gathered:
    """The rows that one message gave."""

    mark: bytes  # of 16 bytes: of what the message says, and where
    packet_id: int
    again: bool  # the broker sent it before, with the same packet id (MQTT 3.1.1 §4.4)
    rows: tuple[bytes, ...]  # as JSON

    @property
    def full_mark(self) -> bytes:
        """Tells it from others that say the same."""
        return self.mark + self.packet_id.to_bytes(2, "big")


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
            known = _Known(connection, [message.full_mark for message in gathered if message.again])
            for message in gathered:
                if message.again and known.has(message):
                    continue
                added = [(collection, row) for row in message.rows]
                connection.executemany("INSERT INTO rows (collection, row) VALUES (?, ?)", added)
                connection.execute("INSERT INTO messages (mark) VALUES (?)", [message.full_mark])
                known.add(message)
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


class _Known:
    """Which messages that came again have their rows here already."""

    def __init__(self, connection: sqlite3.Connection, again: Sequence[bytes]) -> None:
        """``again`` are the marks of those that did. Without any, nothing is looked at: most writings have none."""
        self._exactly: set[bytes] = set()
        self._recent: Counter[bytes] = Counter()
        if not again:
            return
        places = ",".join("?" * len(again))
        found = connection.execute(f"SELECT mark FROM messages WHERE mark IN ({places})", again)  # noqa: S608
        self._exactly.update(mark for (mark,) in found)
        found = connection.execute("SELECT mark FROM messages ORDER BY number DESC LIMIT ?", [RECENT])
        self._recent.update(mark[:_MARK_BYTES] for (mark,) in found)

    def has(self, message: Gathered) -> bool:
        """Each that is known stands for one that came again."""
        recent = self._recent[message.mark] > 0
        if recent:
            self._recent[message.mark] -= 1
        return recent or message.full_mark in self._exactly

    def add(self, message: Gathered) -> None:
        """Its rows are here now."""
        self._exactly.add(message.full_mark)
        self._recent[message.mark] += 1
