"""Keeps working on what each live run needs next, and notices when its time is over or its edge is silent."""

import asyncio
import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Protocol
from uuid import UUID

from sqlmodel import Session

from controller.manifests import Manifests
from controller.presence import Heard
from controller.runs.live import LiveRuns
from controller.runs.machine import USING_EDGE, in_manifest, pending
from controller.runs.steps import DeadlinePassed, Dispatch, Effect, Event, Failed, LeaseEnded, Run, TakeTurn, Waits
from controller.runs.transitions import Also, Transitions
from controller.runs.turns import turn_of
from controller.stores.database import Database
from controller.stores.runs import load_run
from schemas.errors import TidemillError
from schemas.runs import RunState

log = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0  # at all live runs: deadlines and leases are noticed this soon
EDGE_NEWS_S = 0.2  # many edges report at once: runs that wait for one are looked at together
AGAIN_AFTER_S = 5.0  # after an edge or the broker did not answer


class Worker(Protocol):
    """Does what a run needs next, and tells the supervisor what came of it."""

    async def work(self, run: Run, effect: Effect) -> None:
        """Carry out one effect. Idempotent: it may have been done before a crash."""

    def hand_out(self, session: Session, waiting: list[Run]) -> list[tuple[UUID, Event]]:
        """Decide which of the runs that wait for an edge go to which, in the transaction that saves it."""


class Supervisor:
    """The shell round the run machine."""

    def __init__(self, database: Database, manifests: Manifests, *, clock: Callable[[], datetime]) -> None:
        self._database, self._manifests, self._clock = database, manifests, clock
        self._heard, self._live = Heard(), LiveRuns()
        self._transitions = Transitions(database, self._live, self.tell, clock=clock)
        self._news = asyncio.Event()
        self._stale = True  # the database may hold runs that were not noted
        self._poked: set[UUID] = set()
        self._blocked: set[UUID] = set()  # not their turn, as long as no other run of their job ends
        self._look_at = self._hand_out_at = 0.0  # monotonic
        self._alarm: datetime | None = None  # when the next run may start
        self._working: dict[UUID, tuple[Effect, asyncio.Task[None]]] = {}
        self.changed: list[Callable[[Run], None]] = []  # told of every step

    def wake(self) -> None:
        """There may be new runs, or what a run waits for has changed."""
        self._stale = True
        self._hand_out_within(0.0)

    def heard(self, edge: str) -> None:
        """The edge said something: the leases of its runs are renewed."""
        self._heard.note(edge)

    def silent_s(self, edge: str) -> float:
        """Seconds since the edge said anything."""
        return self._heard.silent_s(edge)

    def edge_changed(self) -> None:
        """An edge came, went or reported: runs may wait for that."""
        if any(run.state is RunState.QUEUED for run in self._live):
            self._hand_out_within(EDGE_NEWS_S)

    def runs_on(self, edge: str) -> list[Run]:
        """The live runs of an edge, as far as they are known."""
        return [run for run in self._live if run.edge == edge]

    async def find(self, run_id: UUID) -> Run:
        """A run as it is now, or was a moment ago. Raises NotFound."""
        if (known := self._live.get(run_id)) is not None:
            return known
        return await self._database.read(lambda session: load_run(session, run_id=run_id))

    async def step(self, run_id: UUID, event: Event, *, also: Also | None = None) -> Run:
        """Apply an event and save the run, with ``also`` in the same transaction if the run moved.

        Raises:
            NotFound: there is no such run.
        """
        (after,) = await self._transitions.apply(lambda _: [(run_id, event)], also=also)
        return after

    async def serve(self, worker: Worker) -> None:
        """Keep every live run going, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._news.clear()
                for run_id in await self._whom_to_look_at():
                    if (run := self._live.get(run_id)) is not None:
                        await self._look(run, tasks, worker)
                await self._hand_out(worker)
                await self._rest()

    async def _whom_to_look_at(self) -> set[UUID]:
        look_at_all = time.monotonic() >= self._look_at
        if self._alarm is not None and self._alarm <= self._clock():
            look_at_all, self._alarm = True, None
        if self._stale or look_at_all:
            self._stale = False
            moved = await self._live.refresh(self._database)
            self._blocked -= moved  # such as by a new name for their job
            self._poked |= moved
        if look_at_all:
            self._look_at = time.monotonic() + LOOK_EVERY_S
            self._poked |= {run.id for run in self._live}
            self._hand_out_within(0.0)
        poked, self._poked = self._poked, set()
        return poked

    async def _rest(self) -> None:
        now = time.monotonic()
        until = min(self._look_at, self._hand_out_at) if len(self._live) else None
        if until is not None and self._alarm is not None:
            until = min(until, now + (self._alarm - self._clock()).total_seconds())
        with suppress(TimeoutError):
            async with asyncio.timeout(None if until is None else max(0.0, until - now)):
                await self._news.wait()

    async def _look(self, run: Run, tasks: asyncio.TaskGroup, worker: Worker) -> None:
        now, silent_s = self._clock(), self._heard.silent_s(run.edge)
        if run.deadline is not None and run.deadline <= now:
            await self.step(run.id, DeadlinePassed(run.deadline))
        elif run.state in USING_EDGE and silent_s > run.job.silence.lost_after:
            await self.step(run.id, LeaseEnded(run.attempt, silent_s))
        elif run.not_before is not None and run.not_before > now:
            self._alarm = min(self._alarm or run.not_before, run.not_before)
        else:
            await self._go_on(run, tasks, worker)

    async def _go_on(self, run: Run, tasks: asyncio.TaskGroup, worker: Worker) -> None:
        match pending(run):
            case None | Dispatch():
                return  # its edge is at it, or those that wait for one are looked at together
            case TakeTurn():
                if run.id not in self._blocked:
                    self._blocked.add(run.id)  # first: another run may end while this one is looked at
                    await self._transitions.apply(lambda session: turn_of(session, run, self._clock()))
            case effect if run.id not in self._working:
                name = f"{type(effect).__name__} {run.id}"
                self._working[run.id] = effect, tasks.create_task(self._work(run, effect, worker), name=name)

    async def _hand_out(self, worker: Worker) -> None:
        if time.monotonic() < self._hand_out_at:
            return
        self._hand_out_at = math.inf
        waiting = [run for run in self._live if isinstance(pending(run), Dispatch)]
        if waiting:
            await self._transitions.apply(lambda session: worker.hand_out(session, waiting))

    def _hand_out_within(self, seconds: float) -> None:
        self._hand_out_at = min(self._hand_out_at, time.monotonic() + seconds)
        self._news.set()

    def _poke(self, run_id: UUID) -> None:
        self._poked.add(run_id)
        self._news.set()

    def tell(self, before: Run, after: Run) -> None:
        """A step is saved, by ``step`` or by a transaction of its own: have everybody act on it."""
        self._live.note(after)
        if before.state is not after.state:
            facts = {"run": str(after.id), "job": after.job.name, "state": after.state, "reason": after.reason}
            log.info("run moved", extra=facts)
        if in_manifest(before) != in_manifest(after):
            for edge in {run.edge for run in (before, after) if in_manifest(run)}:
                self._manifests.mark(edge)
        if (before.state in USING_EDGE and after.state not in USING_EDGE) or isinstance(pending(after), Dispatch):
            self._hand_out_within(0.0)
        if after.ended_at is not None:
            self._unblock(after)
        self._end_work_in_vain(after)
        self._poke(after.id)
        for listener in self.changed:
            listener(after)

    def _unblock(self, ended: Run) -> None:
        self._blocked.discard(ended.id)
        for run_id in [run_id for run_id in self._blocked if self._is_of_job(run_id, ended.job.name)]:
            self._blocked.discard(run_id)
            self._poke(run_id)

    def _is_of_job(self, run_id: UUID, job: str) -> bool:
        run = self._live.get(run_id)
        return run is None or run.job.name == job

    def _end_work_in_vain(self, after: Run) -> None:
        """What was being done for a run is needed no more: its attempt was given up, or it has ended."""
        effect, task = self._working.get(after.id, (None, None))
        if task is not None and effect != pending(after) and task is not asyncio.current_task():
            task.cancel()

    async def _put_off(self, run: Run, trouble: str) -> None:
        """Tell people, once, what an effect waits for, and wait a while."""
        reason, known = f"{trouble}; it is tried again", self._live.get(run.id)
        if known is None or known.reason != reason:
            log.info("effect is tried again", extra={"run": str(run.id), "reason": trouble})
        if known is not None and known.revision >= run.revision and pending(known) == pending(run):
            with suppress(TidemillError):  # it may be the database that is away
                await self.step(run.id, Waits(reason))
        await asyncio.sleep(AGAIN_AFTER_S)

    async def _work(self, run: Run, effect: Effect, worker: Worker) -> None:
        try:
            await worker.work(run, effect)
        except TidemillError as error:
            if error.retryable:
                await self._put_off(run, str(error))
            else:
                await self.step(run.id, Failed(run.attempt, str(error)))
        except OSError as error:  # a full disk, or an ill one: of this machine's, and no fault of the run's
            await self._put_off(run, f"the controller cannot read or write its files: {error}")
        except Exception as error:  # the boundary of one run's work: it must not take the other runs with it
            log.exception("effect failed", extra={"run": str(run.id), "effect": type(effect).__name__})
            await self.step(run.id, Failed(run.attempt, f"internal error while {type(effect).__name__}: {error!r}"))
        finally:
            del self._working[run.id]
            self._poke(run.id)  # it may have moved meanwhile, and need something else now
