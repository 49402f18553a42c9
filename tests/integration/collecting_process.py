"""What a controller does with collected rows, alone, as a process that tests can kill.

Usage: collecting_process.py DATABASE_URL BROKER_URL [COMMITS]
With COMMITS it kills itself right after that many commits, before the last one is acknowledged.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from uuid import uuid4

from controller.data.collected import CollectedRows
from controller.data.payloads import Parsed
from controller.stores.collections import CollectionStore
from schemas.broker import BrokerAddress
from schemas.collected import RowsBatch
from schemas.collections import CollectionSpec
from schemas.names import EdgeName
from schemas.topics import CONTROLLER_PRESENCE, ROWS
from schemas.wire import ControllerPresence
from transport.mqtt import connect


class DyingStore(CollectionStore):
    """A store whose process ends, as by a power failure, between a commit and what was to follow it."""

    def __init__(self, url: str, *, commits: int) -> None:
        super().__init__(url)
        self._commits_left = commits

    def insert_collected(self, batch: RowsBatch, edge: EdgeName, fit: Callable[[CollectionSpec, int], Parsed]) -> int:
        """Commit, and die after the last one."""
        last = super().insert_collected(batch, edge, fit)
        self._commits_left -= 1
        if self._commits_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return last


async def main(database_url: str, broker_url: str, commits: str = "0") -> None:
    """Serve until killed."""
    async with connect(BrokerAddress(url=broker_url), f"collecting-{os.getpid()}") as link:
        collected = CollectedRows(link, DyingStore(database_url, commits=int(commits)))
        batches = await link.subscribe(ROWS.filter())
        born = ControllerPresence(online=True, session_id=uuid4().hex)  # edges wait longer and longer for one
        await link.publish(CONTROLLER_PRESENCE.to(), born.to_wire(), retain=True)
        async for message in batches:
            await collected.take((ROWS.parse(message.topic) or {})["edge"], message.payload)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
