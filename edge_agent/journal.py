"""The only place for what an edge must still know after a crash: manifest, tasks, fences and unsent events.

Every call is one transaction and returns after an fsync (`synchronous=FULL`), so what it wrote is true before
anything is done about it. Calls are few and short; they run on the event loop, which serves no pipeline.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self
from uuid import UUID

from edge_agent.execution.executor import TaskKey
from edge_agent.tasks.task_machine import Task, accept
from schemas.errors import BadInput, Conflict
from schemas.manifest import Manifest, WantedRun
from schemas.runs import EdgeEvent, RunEvent

SCHEMA_VERSION = 1
FENCES_KEPT = 10_000  # runs whose highest attempt is remembered; the oldest beyond that are forgotten
SCHEMA = """
CREATE TABLE manifest (only_one INTEGER PRIMARY KEY CHECK (only_one = 1), body TEXT NOT NULL);
CREATE TABLE fences (
    taken INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL UNIQUE, attempt INTEGER NOT NULL
);
CREATE TABLE tasks (
    accepted INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL, attempt INTEGER NOT NULL, state TEXT NOT NULL, body TEXT NOT NULL,
    UNIQUE (run_id, attempt)
);
CREATE TABLE outbox (
    run_id TEXT NOT NULL, attempt INTEGER NOT NULL, sequence INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (run_id, attempt, sequence)
);
CREATE TABLE served_pipelines (name TEXT PRIMARY KEY, body TEXT NOT NULL);
"""


class Journal:
    """An SQLite database in the data folder; made by ``Journal.open``."""

    def __init__(self, db: sqlite3.Connection, *, fences_kept: int) -> None:
        self._db, self._fences_kept = db, fences_kept

    @classmethod
    @contextmanager
    def open(cls, path: Path, *, fences_kept: int = FENCES_KEPT) -> Iterator[Self]:
        """Open it or make it.

        Raises:
            BadInput: a newer agent wrote it.
        """
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise BadInput(f"{path} is of schema {version}, this agent knows {SCHEMA_VERSION}; run a newer agent")
            if version == 0:
                db.executescript(f"BEGIN IMMEDIATE;{SCHEMA}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
            yield cls(db, fences_kept=fences_kept)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def manifest(self) -> Manifest | None:
        """The manifest taken last; its signature was checked when it came."""
        row = self._db.execute("SELECT body FROM manifest").fetchone()
        return Manifest.model_validate_json(row[0]) if row else None

    def save_manifest(self, manifest: Manifest) -> None:
        """Replace it."""
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO manifest VALUES (1, ?)", (manifest.model_dump_json(),))

    def fence(self, run_id: UUID) -> int:
        """The highest attempt of a run ever taken here, 0 for none."""
        row = self._db.execute("SELECT attempt FROM fences WHERE run_id = ?", (str(run_id),)).fetchone()
        return int(row[0]) if row else 0

    def accept(self, wanted: WantedRun) -> Task:
        """Take an attempt in: task, fence and first event in one transaction.

        Raises:
            Conflict: this or a higher attempt of the run was taken before.
        """
        key = TaskKey(wanted.run_id, wanted.attempt)
        with self._transaction():
            if (passed := self.fence(key.run_id)) >= key.attempt:
                raise Conflict(f"attempt {key.attempt} of run {key.run_id} comes after attempt {passed}")
            self._db.execute("INSERT OR REPLACE INTO fences (run_id, attempt) VALUES (?, ?)", _columns(key))
            self._db.execute(
                "DELETE FROM fences WHERE taken <= (SELECT max(taken) FROM fences) - ? "
                "AND run_id NOT IN (SELECT run_id FROM tasks)",
                (self._fences_kept,),
            )
            return self._write(*accept(key, wanted.spec, wanted.secrets))

    def save(self, task: Task, tell: Sequence[EdgeEvent]) -> Task:
        """Write a task's step and the events that tell of it; the task comes back with its new sequence."""
        with self._transaction():
            return self._write(task, tell)

    def tasks(self) -> list[Task]:
        """Every task held, in the order of acceptance."""
        rows = self._db.execute("SELECT body FROM tasks ORDER BY accepted")
        return [Task.model_validate_json(body) for (body,) in rows]

    def forget(self, key: TaskKey) -> None:
        """Drop a task and its events; its fence stays."""
        with self._transaction():
            self._db.execute("DELETE FROM tasks WHERE run_id = ? AND attempt = ?", _columns(key))
            self._db.execute("DELETE FROM outbox WHERE run_id = ? AND attempt = ?", _columns(key))

    def unacknowledged(self) -> list[RunEvent]:
        """Events that the controller has not acknowledged, each attempt's in order."""
        rows = self._db.execute("SELECT body FROM outbox ORDER BY run_id, attempt, sequence")
        return [RunEvent.model_validate_json(body) for (body,) in rows]

    def acknowledge(self, key: TaskKey, sequence: int) -> None:
        """Drop an attempt's events up to ``sequence``: the controller has saved them."""
        with self._transaction():
            self._db.execute(
                "DELETE FROM outbox WHERE run_id = ? AND attempt = ? AND sequence <= ?", (*_columns(key), sequence)
            )

    def served_pipelines(self) -> dict[str, str]:
        """What was complete here and given to the pipeline workers last, as JSON by pipeline."""
        return dict(self._db.execute("SELECT name, body FROM served_pipelines").fetchall())

    def save_served_pipelines(self, served: dict[str, str]) -> None:
        """Replace it."""
        with self._transaction():
            self._db.execute("DELETE FROM served_pipelines")
            self._db.executemany("INSERT INTO served_pipelines VALUES (?, ?)", served.items())

    def _write(self, task: Task, tell: Sequence[EdgeEvent]) -> Task:
        first = task.sequence + 1
        task = task.model_copy(update={"sequence": task.sequence + len(tell)})
        self._db.execute(
            "INSERT INTO tasks (run_id, attempt, state, body) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (run_id, attempt) DO UPDATE SET state = excluded.state, body = excluded.body",
            (*_columns(task.key), task.state, task.model_dump_json()),
        )
        for sequence, event in enumerate(tell, first):
            told = RunEvent(run_id=task.key.run_id, attempt=task.key.attempt, sequence=sequence, event=event)
            self._db.execute(
                "INSERT INTO outbox VALUES (?, ?, ?, ?)", (*_columns(task.key), sequence, told.model_dump_json())
            )
        return task


def _columns(key: TaskKey) -> tuple[str, int]:
    return str(key.run_id), key.attempt
