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
    """Those of the embedded Mosquitto."""

    def __init__(self, files: BrokerAccounts, link: Link) -> None:
        self._files, self._link = files, link

    async def add(self, username: str) -> str:
        """See ``EdgeAccounts``."""
        password = await asyncio.to_thread(self._files.add, username)
        await settled(self._link)
        return password

    async def remove(self, username: str) -> bool:
        """See ``EdgeAccounts``."""
        removed = await asyncio.to_thread(self._files.remove, username)
        if removed:
            await settled(self._link)
        return removed

    async def allow(self, data_topics: Iterable[str]) -> None:
        """See ``EdgeAccounts``."""
        if await asyncio.to_thread(self._files.allow, data_topics):
            await settled(self._link)
