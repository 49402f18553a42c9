"""Keeps a session at the broker for each collection that has topics, as declarations come and change."""

import asyncio
import logging

from controller.data.intake import Counters, Intake
from controller.stores.collections import CollectionStore
from schemas.broker import BrokerAddress
from schemas.collections import CollectionSpec
from schemas.errors import Unreachable

log = logging.getLogger(__name__)

_RETRY_S = 1.0


class Ingestion:
    """Every collection's intake. Belongs to one event loop."""

    def __init__(self, address: BrokerAddress, store: CollectionStore) -> None:
        self._address, self._store = address, store
        self._intakes: dict[str, Intake] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._listening: dict[str, tuple[str, ...]] = {}
        self._asked = asyncio.Event()
        self._changed = asyncio.Event()  # set and cleared at once: wakes those who wait for any change

    @property
    def counters(self) -> dict[str, Counters]:
        """By collection, what came in since this process started."""
        return {name: intake.counters for name, intake in self._intakes.items()}

    def refresh(self) -> None:
        """Collections were declared or changed: look again, soon. Returns at once."""
        self._asked.set()

    async def listening(self, spec: CollectionSpec) -> None:
        """Wait until messages on the topics of this declaration, and on no others, become rows of it."""
        while self._listening.get(spec.name, ()) != spec.topics:
            await self._changed.wait()

    async def serve(self) -> None:
        """Take messages until cancelled; an error that is not the broker's or the disk's ends it."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._asked.clear()
                try:
                    specs = await asyncio.to_thread(self._store.specs)
                    left = await asyncio.to_thread(self._store.subscribed)
                except Unreachable as error:
                    log.warning("collections not known yet", extra={"reason": str(error)})
                    await asyncio.sleep(_RETRY_S)
                    continue
                for spec in specs:
                    if spec.topics or spec.name in left:
                        await self._take(spec, group)
                await self._asked.wait()

    async def _take(self, spec: CollectionSpec, group: asyncio.TaskGroup) -> None:
        """Have the collection's intake do what is declared now."""
        running = self._intakes.get(spec.name)
        if running is not None and running.spec.topics == spec.topics:
            running.spec = spec
            return
        intake = Intake(self._address, self._store, spec)
        if running is not None:
            await self._end(spec.name)
            intake.counters = running.counters
        self._intakes[spec.name] = intake
        work = intake.serve(lambda: self._note(spec))
        self._tasks[spec.name] = group.create_task(work, name=f"intake of {spec.name}")

    async def _end(self, name: str) -> None:
        task = self._tasks.pop(name)
        task.cancel()
        await asyncio.wait([task])  # its batch is committed and acknowledged before the next one begins
        self._listening.pop(name, None)

    def _note(self, spec: CollectionSpec) -> None:
        self._listening[spec.name] = spec.topics
        self._changed.set()
        self._changed.clear()
