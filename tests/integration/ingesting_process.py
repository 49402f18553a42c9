"""A controller's data side alone, as a process that tests can kill.

Usage: ingesting_process.py DATABASE_URL BROKER_URL [COMMITS]
With COMMITS it kills itself right after that many commits, before anything of the last one is acknowledged.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Iterable

from controller.data.ingestion import Ingestion
from controller.data.payloads import Parsed
from controller.stores.collections import CollectionStore
from schemas.broker import BrokerAddress


class DyingStore(CollectionStore):
    """A store whose process ends, as by a power failure, between a commit and what was to follow it."""

    def __init__(self, url: str, *, commits: int) -> None:
        super().__init__(url)
        self._commits_left = commits

    def insert_all(self, name: str, batches: Iterable[Parsed]) -> int:
        """Commit, and die after the last one."""
        last = super().insert_all(name, batches)
        self._commits_left -= 1
        if self._commits_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return last


async def main(database_url: str, broker_url: str, commits: str = "0") -> None:
    """Serve until killed."""
    store = DyingStore(database_url, commits=int(commits))
    await Ingestion(BrokerAddress(url=broker_url), store).serve()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
