"""The report: gathered from those who know, published when something changed and every few seconds anyway."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from schemas import topics
from schemas.errors import Unreachable
from schemas.report import Report
from transport.mqtt import Link

DEBOUNCE_S = 0.2  # changes that come together make one report


class Reporter:
    """Publishes a retained report of this edge."""

    def __init__(self, link: Link, *, every_s: float) -> None:
        self._link, self._every_s = link, every_s
        self._changed = asyncio.Event()
        self._changed.set()

    def changed(self) -> None:
        """Something is not as the last report says."""
        self._changed.set()

    async def serve(self, gather: Callable[[], Report]) -> None:
        """Report what ``gather`` finds, until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._changed.wait()
                    await asyncio.sleep(DEBOUNCE_S)
            self._changed.clear()
            report = gather()
            with suppress(Unreachable):  # the reconnect asks for another
                await self._link.publish(topics.REPORT.to(edge=report.edge), report.to_wire(), retain=True)
