"""Fires jobs when their time comes."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from sqlmodel import Session

from controller.stores.database import Database
from controller.stores.jobs import Fired, ahead_of_clock, fire_due, next_due, set_back

log = logging.getLogger(__name__)

LONGEST_REST_S = 60.0  # the machine's clock may be set while we rest
SHORTEST_REST_S = 0.2  # ticks this close are fired in one transaction: each is a write to the disk
SET_BACK = timedelta(seconds=1)  # less than that is a clock being kept right


class Ticks:
    """The loop that waits for the next time any job is due."""

    def __init__(self, database: Database, on_fired: Callable[[], None], *, clock: Callable[[], datetime]) -> None:
        self._database, self._on_fired, self._clock = database, on_fired, clock
        self._changed = asyncio.Event()
        self.listeners: list[Callable[[], None]] = []  # told when jobs have changed
        self._latest: datetime | None = None  # that the clock has shown

    def jobs_changed(self) -> None:
        """Look again when the next job is due."""
        self._changed.set()
        for listener in self.listeners:
            listener()

    async def serve(self) -> None:
        """Fire jobs, until cancelled. A crash between two steps repeats none: tick and cursor are one transaction."""
        while True:
            self._changed.clear()
            due = await self.look()
            rest_s = LONGEST_REST_S
            if due is not None:
                rest_s = min(rest_s, _rest_s((due - self._clock()).total_seconds()))
            try:
                async with asyncio.timeout(rest_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def look(self) -> datetime | None:
        """Fire what has come; returns when the next job is due."""
        any_fired = False
        try:
            while True:
                now = self._clock()
                await self._mind(now)
                fired, due = await self._database.write(partial(_fire, now=now))
                any_fired |= fired > 0
                if due is None or due > now:  # else there were too many for one transaction
                    return due
        finally:  # not sooner: the work on the first runs would make the last ones late
            if any_fired:
                self._on_fired()

    async def _mind(self, now: datetime) -> None:
        """Notice that the clock was set back: now by having seen a later time, at the start by what was left."""
        if self._latest is None or now < self._latest - SET_BACK:
            self._latest = now
            jobs = await self._database.read(lambda session: ahead_of_clock(session, now=now))
            if jobs:
                await self._database.write(lambda session: set_back(session, jobs=jobs, now=now))
                log.warning("the clock was set back, jobs are due by it again", extra={"jobs": len(jobs)})
        self._latest = max(self._latest, now)


def _fire(session: Session, *, now: datetime) -> tuple[int, datetime | None]:
    fired = fire_due(session, now=now)
    for one in fired:
        _tell(one)
    session.flush()
    return sum(len(one.runs) for one in fired), next_due(session)


def _rest_s(due_in_s: float) -> float:
    """How long to rest: not at all when one transaction was too short for all that has come."""
    return max(SHORTEST_REST_S, due_in_s) if due_in_s > 0 else 0.0


def _tell(fired: Fired) -> None:
    for run in fired.runs:
        log.info("job fired", extra={"job": run.job, "run": str(run.id), "scheduled_at": str(run.scheduled_at)})
    if fired.missed is not None:
        log.warning("ticks were missed", extra={"job": fired.job, "missed": str(fired.missed)})
