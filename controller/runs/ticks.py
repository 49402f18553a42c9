"""Fires jobs when their time comes."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from sqlmodel import Session

from controller.schedule import next_fire
from controller.stores.database import Database
from controller.stores.jobs import fire_due, next_due
from schemas.schedules import Schedule

log = logging.getLogger(__name__)

LONGEST_REST_S = 60.0  # the machine's clock may be set while we rest


class Ticks:
    """The loop that waits for the next time any job is due."""

    def __init__(self, database: Database, on_fired: Callable[[], None], *, clock: Callable[[], datetime]) -> None:
        self._database, self._on_fired, self._clock = database, on_fired, clock
        self._changed = asyncio.Event()

    def jobs_changed(self) -> None:
        """Look again when the next job is due."""
        self._changed.set()

    async def serve(self) -> None:
        """Fire jobs, until cancelled. A crash between two steps repeats none: tick and cursor are one transaction."""
        while True:
            self._changed.clear()
            fired, due = await self._database.write(self._fire)
            if fired:
                self._on_fired()
            rest_s = LONGEST_REST_S
            if due is not None:
                rest_s = min(rest_s, max(0.0, (due - self._clock()).total_seconds()))
            try:
                async with asyncio.timeout(rest_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _fire(self, session: Session) -> tuple[int, datetime | None]:
        runs = fire_due(session, now=self._clock(), next_fire=due_after)
        for run in runs:
            log.info("job fired", extra={"job": run.job, "run": str(run.id), "scheduled_at": str(run.scheduled_at)})
        session.flush()
        return len(runs), next_due(session)


def due_after(schedule: Schedule, anchor: datetime, after: datetime) -> datetime | None:
    """``next_fire`` as the stores call it."""
    return next_fire(schedule, anchor=anchor, after=after)
