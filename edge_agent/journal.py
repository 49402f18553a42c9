"""The only place for what an edge must still know after a crash: manifest, tasks, fences and unsent events.

Every call is one transaction and returns after an fsync (`synchronous=FULL`), so what it wrote is true before
anything is done about it. Calls are few and short; they run on the event loop, which serves no pipeline.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from uuid import UUID

from edge_agent.execution.executor import TaskKey
from edge_agent.journal_schema import bring_up_to_date
from edge_agent.tasks.task_machine import Task, accept
from schemas.errors import Conflict
from schemas.manifest import Manifest, WantedRun
from schemas.runs import EdgeEvent, RunEvent

_TABLES = ("served_pipelines", "previous_pipelines", "returned_pipelines")
FENCES_KEPT = 10_000  # runs whose highest attempt is remembered; the oldest beyond that are forgotten


@dataclass(frozen=True, slots=True)
class PipelineRecord:
    """What an edge remembers of its pipelines, as JSON by their names."""

    served: Mapping[str, str]  # was complete here and given to the pipeline workers last
    previous: Mapping[str, str]  # answered before that, and is gone back to if that does not do
    returned: Mapping[str, str]  # what was gone back from, and why


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
            bring_up_to_date(db, path)
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

    def pipelines(self) -> PipelineRecord:
        """What was remembered last."""
        return PipelineRecord(*(dict(self._db.execute(f"SELECT name, body FROM {table}")) for table in _TABLES))  # noqa: S608 - of ours

    def save_pipelines(self, record: PipelineRecord) -> None:
        """Replace it."""
        with self._transaction():
            for table, bodies in zip(_TABLES, (record.served, record.previous, record.returned), strict=True):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - of ours
                self._db.executemany(f"INSERT INTO {table} VALUES (?, ?)", bodies.items())  # noqa: S608

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
