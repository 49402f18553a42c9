"""A control database and collections whose data triggers are looked at on a clock that a test sets."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import event
from sqlmodel import Session, col, select

from controller.data.payloads import Row
from controller.runs.machine import advance
from controller.runs.steps import Admitted, CancelAsked, Event, Selected
from controller.runs.triggers import Triggers
from controller.stores.collections import CollectionStore
from controller.stores.database import open_database
from controller.stores.jobs import get_job, save_job
from controller.stores.runs import load_run, queue_run, save_step
from controller.stores.tables import RunRow, TriggerRow
from schemas.collections import CollectionSpec, ColumnType
from schemas.jobs import JobSpec
from schemas.models import DataSelection, Window
from schemas.names import BlobRef

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
READINGS = CollectionSpec(name="readings", columns={"error": ColumnType.REAL})
BLOB = BlobRef(digest=f"sha256:{'0' * 64}", size_bytes=1)


def job(name: str = "retrain", **changes: Any) -> JobSpec:
    """A job that is due with three new rows."""
    rows = {"new_rows": 3, "collection": "readings", "every": "10s"}
    written = {"name": name, "model": "iris", "edge": "press-1", "scripts": ["train.py"], "triggers": [rows]}
    return JobSpec.model_validate(written | changes)


class TriggerSite:
    """The databases, the clock, and what happens to them."""

    def __init__(self, control_url: str, collections_url: str) -> None:
        self.database = open_database(control_url)
        self.collections = CollectionStore(collections_url)
        self.collections.declare(READINGS)
        self.now = NOW
        self.fired = asyncio.Event()
        self._committed = asyncio.Event()

    def close(self) -> None:
        """Close both."""
        self.database.close()
        self.collections.close()

    def save(self, spec: JobSpec) -> None:
        """Apply a job."""
        with self.database.transaction() as session:
            save_job(session, spec=spec, now=self.now)

    def add(self, *errors: float) -> None:
        """Let rows come."""
        rows: list[Row] = [{"error": error} for error in errors]
        self.collections.insert("readings", rows)

    def runs(self, job: str = "retrain") -> list[RunRow]:
        """The job's runs, oldest first."""
        with Session(self.database._reading, expire_on_commit=False) as session:
            return list(session.exec(select(RunRow).where(RunRow.job == job).order_by(col(RunRow.created_at))))

    def causes(self, job: str = "retrain") -> list[str]:
        """Why they were queued."""
        return [run.cause for run in self.runs(job)]

    def rows(self, job: str = "retrain") -> list[TriggerRow]:
        """What the job's triggers saw."""
        return [row for row in self.all_rows() if row.job == job]

    def all_rows(self) -> list[TriggerRow]:
        """What every trigger saw."""
        with Session(self.database._reading, expire_on_commit=False) as session:
            return list(session.exec(select(TriggerRow)))

    def queue(self, job: str = "retrain") -> None:
        """Queue a run by hand."""
        with self.database.transaction() as session:
            _, spec = get_job(session, name=job)
            queue_run(session, job=spec, trigger="manual", scheduled_at=self.now, now=self.now, cause="by hand")

    def end(self, *, upto: int, job: str = "retrain") -> None:
        """Let the job's newest run select the readings up to a position, and end."""
        self._move(job, *self._selected({"readings": Window(upto=upto)}))

    def end_elsewhere(self, job: str = "retrain") -> None:
        """Let the job's newest run select rows of something else, and end."""
        self._move(job, *self._selected({}))

    def cancel(self, job: str = "retrain") -> None:
        """Let the job's newest run end before it selects anything."""
        self._move(job, CancelAsked("enough"))

    def _selected(self, windows: dict[str, Window]) -> Iterable[Event]:
        data = DataSelection(query="SELECT 1", windows=windows, rows=1, blob=BLOB)
        return Admitted(), Selected((data,), BLOB, None), CancelAsked("enough")

    def _move(self, job: str, *events: Event) -> None:
        run_id = self.runs(job)[-1].id
        for one in events:
            with self.database.transaction() as session:
                before = load_run(session, run_id=run_id)
                save_step(session, before=before, after=advance(before, one, self.now))

    async def later(self, seconds: float = 10) -> None:
        """Let time pass, and every trigger that is due by then be looked at once."""
        self.now += timedelta(seconds=seconds)
        async with self.looking():
            await self.until(
                lambda: all(row.next_look_at is None or row.next_look_at > self.now for row in self.all_rows())
            )

    @asynccontextmanager
    async def looking(self, timeout_s: float = 30) -> AsyncIterator[asyncio.Task[None]]:
        """The loop, while the block lasts."""
        loop = asyncio.get_running_loop()

        def committed(_session: object) -> None:
            loop.call_soon_threadsafe(self._committed.set)

        event.listen(Session, "after_commit", committed)
        triggers = Triggers(
            self.database, self.collections, self.fired.set, clock=lambda: self.now, timeout_s=timeout_s
        )
        serving = asyncio.create_task(triggers.serve())
        try:
            yield serving
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            event.remove(Session, "after_commit", committed)

    async def until(self, reached: Callable[[], bool]) -> None:
        """Look after each commit until the database says so."""
        async with asyncio.timeout(60):
            self._committed.clear()
            while not await asyncio.to_thread(reached):
                await self._committed.wait()
                self._committed.clear()
