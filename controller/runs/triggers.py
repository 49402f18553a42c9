"""Queues runs when the data asks for it: the loop that looks at each job's data triggers."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from sqlmodel import Session

from controller.data.looking import look_at
from controller.runs.trigger_rules import Sight
from controller.stores.collections import CollectionStore
from controller.stores.database import Database
from controller.stores.triggers import Key, Look, Noted, due_looks, note_problem, note_seen
from schemas.errors import TidemillError

log = logging.getLogger(__name__)

LOOKS_AT_ONCE = 8  # each has a thread, in which its query may be slow
LOOK_TIMEOUT_S = 30.0  # of one query
LONGEST_REST_S = 60.0  # the machine's clock may be set while we rest
SHORTEST_REST_S = 0.2


class Triggers:
    """The loop. A crash between a look and what it comes to leaves nothing: it is done again."""

    def __init__(
        self,
        database: Database,
        collections: CollectionStore,
        on_fired: Callable[[], None],
        *,
        clock: Callable[[], datetime],
        timeout_s: float = LOOK_TIMEOUT_S,
    ) -> None:
        self._database, self._collections, self._on_fired, self._clock = database, collections, on_fired, clock
        self._timeout_s = timeout_s
        self._changed = asyncio.Event()
        self._looking: set[Key] = set()

    def jobs_changed(self) -> None:
        """See anew which triggers there are."""
        self._changed.set()

    async def serve(self) -> None:
        """Look at each trigger when its time has come, until cancelled."""
        threads = ThreadPoolExecutor(LOOKS_AT_ONCE, "look")  # of their own: slow queries keep no one else from one
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    self._changed.clear()
                    looks, next_look_at = await self._database.read(self._due)
                    for look in looks:
                        self._looking.add(look.key)
                        tasks.create_task(self._look(look, threads), name=f"look for {look.job.name}")
                    await self._rest(next_look_at)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    def _due(self, session: Session) -> tuple[list[Look], datetime | None]:
        free = LOOKS_AT_ONCE - len(self._looking)
        if free == 0:  # the first look that ends wakes the loop
            return [], None
        return due_looks(session, now=self._clock(), besides=frozenset(self._looking), limit=free)

    async def _rest(self, next_look_at: datetime | None) -> None:
        rest_s = LONGEST_REST_S
        if next_look_at is not None and len(self._looking) < LOOKS_AT_ONCE:
            rest_s = min(rest_s, max(SHORTEST_REST_S, (next_look_at - self._clock()).total_seconds()))
        try:
            async with asyncio.timeout(rest_s):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _look(self, look: Look, threads: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        try:
            seen = await loop.run_in_executor(threads, self._see, look)
        except TidemillError as error:
            await self._note_problem(look, str(error))
        except Exception as error:  # the boundary of one look: it must not end those of the other jobs
            log.exception("look failed", extra={"job": look.job.name})
            await self._note_problem(look, f"internal error: {error!r}")
        else:
            await self._note(look, seen)
        finally:
            self._looking.discard(look.key)
            self._changed.set()

    def _see(self, look: Look) -> Sight:
        return look_at(self._collections, look, timeout_s=self._timeout_s)

    async def _note(self, look: Look, seen: Sight) -> None:
        now = self._clock()
        noted: Noted = await self._database.write(lambda session: note_seen(session, look=look, seen=seen, now=now))
        if noted.run is not None:
            log.info("job fired", extra={"job": look.job.name, "run": str(noted.run), "cause": noted.cause})
            self._on_fired()

    async def _note_problem(self, look: Look, problem: str) -> None:
        now = self._clock()
        if await self._database.write(lambda session: note_problem(session, look=look, problem=problem, now=now)):
            log.warning("trigger cannot look", extra={"job": look.job.name, "reason": problem})
