"""Who may connect to the broker, kept by the controller: in the files of its own broker, or by one that is asked."""

import asyncio
from collections.abc import Iterable
from typing import Protocol

from controller.brokers.accounts import BrokerAccounts, settled
from transport.mqtt import Link


class EdgeAccounts(Protocol):
    """A broker's accounts. Each call returns when the broker goes by what it did; any may raise Unreachable."""

    async def add(self, username: str) -> str:
        """Make an account that may use its edge's topics and the data topics, or change its password; returns that."""

    async def remove(self, username: str) -> bool:
        """Have an account known no more, and whoever uses it thrown out; False if there was none."""

    async def allow(self, data_topics: Iterable[str]) -> None:
        """Let all accounts use these topics, and none that was allowed before."""


class FileAccounts:
    """Those of the embedded Mosquitto, changed one after the other.

    Two that change the files at once would undo each other's change, and Mosquitto misses a signal that comes while it
    reads its files: it would go by what it has read until the next change.
    """

    def __init__(self, files: BrokerAccounts, link: Link) -> None:
        self._files, self._link = files, link
        self._changing = asyncio.Lock()

    async def add(self, username: str) -> str:
        """See ``EdgeAccounts``."""
        async with self._changing:
            password = await asyncio.to_thread(self._files.add, username)
            await settled(self._link)
        return password

    async def remove(self, username: str) -> bool:
        """See ``EdgeAccounts``."""
        async with self._changing:
            removed = await asyncio.to_thread(self._files.remove, username)
            if removed:
                await settled(self._link)
        return removed

    async def allow(self, data_topics: Iterable[str]) -> None:
        """See ``EdgeAccounts``."""
        async with self._changing:
            if await asyncio.to_thread(self._files.allow, data_topics):
                await settled(self._link)
