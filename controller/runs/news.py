"""Lets people's requests wait for news of a run: another state, log lines, progress."""

import asyncio
from uuid import UUID
from weakref import WeakValueDictionary


class RunNews:
    """An event for each run that somebody waits for; runs that nobody waits for cost nothing."""

    def __init__(self) -> None:
        self._events: WeakValueDictionary[UUID, asyncio.Event] = WeakValueDictionary()

    def of(self, run_id: UUID) -> asyncio.Event:
        """What is set by the next announcement. Take it before you look, and no news falls between."""
        event = self._events.get(run_id)
        if event is None:
            event = self._events[run_id] = asyncio.Event()
        return event

    def announce(self, run_id: UUID) -> None:
        """Wake everybody who waits for news of this run."""
        event = self._events.pop(run_id, None)
        if event is not None:
            event.set()


async def wait_for(event: asyncio.Event, timeout_s: float) -> None:
    """Wait until the event is set, or the time is over."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
