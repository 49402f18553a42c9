"""Moves runs: applies events to saved runs, and keeps working on what each of them needs next."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

from sqlmodel import Session

from controller.manifests import Manifests
from controller.presence import Heard
from controller.runs.machine import advance, pending
from controller.runs.steps import DeadlinePassed, Effect, Event, Failed, LeaseEnded, Run
from controller.stores.database import Database
from controller.stores.runs import live_runs, load_run, save_step
from schemas.errors import TidemillError
from schemas.runs import ON_EDGE, RunState

log = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0  # deadlines, leases and edges with room again are noticed this soon
AGAIN_AFTER_S = 5.0  # after an edge or the broker did not answer

Also = Callable[[Session, Run], None]
"""What is written in the same transaction as a step, given the run after it."""


class Worker(Protocol):
    """Does what a run needs next, and tells the supervisor what came of it."""

    async def work(self, run: Run, effect: Effect) -> None:
        """Carry out one effect. Idempotent: it may have been done before a crash."""


class Supervisor:
    """The shell round the run machine."""

    def __init__(self, database: Database, manifests: Manifests, *, clock: Callable[[], datetime]) -> None:
        self._database, self._manifests, self._clock = database, manifests, clock
        self._heard = Heard()
        self._wake = asyncio.Event()
        self._working: dict[UUID, asyncio.Task[None]] = {}
        self.changed: list[Callable[[Run], None]] = []  # told of every step

    def wake(self) -> None:
        """Look at all live runs now."""
        self._wake.set()

    def heard(self, edge: str) -> None:
        """The edge said something: the leases of its runs are renewed."""
        self._heard.note(edge)

    async def step(self, run_id: UUID, event: Event, *, also: Also | None = None) -> Run:
        """Apply an event and save the run, with ``also`` in the same transaction if the run moved.

        Raises:
            NotFound: there is no such run.
        """
        before, after = await self._database.write(lambda session: self._save(session, run_id, event, also))
        if after != before:
            self.tell(before, after)
        return after

    def _save(self, session: Session, run_id: UUID, event: Event, also: Also | None) -> tuple[Run, Run]:
        before = load_run(session, run_id=run_id)  # the transaction holds the write lock from here on
        after = advance(before, event, self._clock())
        if after == before:
            return before, before
        save_step(session, before=before, after=after)
        if also is not None:
            also(session, after)
        return before, replace(after, revision=before.revision + 1)

    def tell(self, before: Run, after: Run) -> None:
        """A step is saved, by ``step`` or by a transaction of its own: have everybody act on it."""
        if before.state is not after.state:
            facts = {"run": str(after.id), "job": after.job.name, "state": after.state, "reason": after.reason}
            log.info("run moved", extra=facts)
        if before.state is not after.state and after.attempt > 0:
            self._manifests.mark(after.edge)
        if after.state is RunState.QUEUED and before.state in ON_EDGE and after.id in self._working:
            self._working[after.id].cancel()  # it works for an attempt that was given up
        for listener in self.changed:
            listener(after)
        self.wake()

    async def serve(self, worker: Worker) -> None:
        """Keep every live run going, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._wake.clear()
                live = await self._database.read(live_runs)
                for run in live:
                    await self._look(run, tasks, worker)
                self._end_work_without_run({run.id for run in live})
                await self._rest(busy=bool(live))

    async def _rest(self, *, busy: bool) -> None:
        try:
            async with asyncio.timeout(LOOK_EVERY_S if busy else None):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _look(self, run: Run, tasks: asyncio.TaskGroup, worker: Worker) -> None:
        silent_s = self._heard.silent_s(run.edge)
        if run.deadline is not None and run.deadline <= self._clock():
            await self.step(run.id, DeadlinePassed())
        elif run.state in ON_EDGE and silent_s > run.job.silence.lost_after:
            await self.step(run.id, LeaseEnded(run.attempt, silent_s))
        elif (effect := pending(run)) is not None and run.id not in self._working:
            name = f"{type(effect).__name__} {run.id}"
            self._working[run.id] = tasks.create_task(self._work(run, effect, worker), name=name)

    def _end_work_without_run(self, live: set[UUID]) -> None:
        for run_id in self._working.keys() - live:
            self._working[run_id].cancel()

    async def _work(self, run: Run, effect: Effect, worker: Worker) -> None:
        try:
            await worker.work(run, effect)
        except TidemillError as error:
            if error.retryable:
                log.info("effect is tried again", extra={"run": str(run.id), "reason": str(error)})
                await asyncio.sleep(AGAIN_AFTER_S)
            else:
                await self.step(run.id, Failed(run.attempt, str(error)))
        except Exception as error:  # the boundary of one run's work: it must not take the other runs with it
            log.exception("effect failed", extra={"run": str(run.id), "effect": type(effect).__name__})
            await self.step(run.id, Failed(run.attempt, f"internal error while {type(effect).__name__}: {error!r}"))
        finally:
            del self._working[run.id]
        if (await self._database.read(lambda session: load_run(session, run_id=run.id))).revision != run.revision:
            self.wake()  # it moved while its work was noted as under way, and may need something else now
