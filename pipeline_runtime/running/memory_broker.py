"""A broker inside the process, for pipelines that are tried without one: no connection, no clock, no threads."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pipeline_runtime.broker import Publication, Take, Told
from schemas.topics import matches


@dataclass(slots=True, eq=False)
class FedMessage:
    """A message that was fed."""

    topic: str
    payload: bytes
    qos: int = 1
    dup: bool = False
    packet_id: int = 0
    acknowledged: bool = False

    def ack(self) -> None:
        """The pipeline is done with it."""
        self.acknowledged = True


class MemoryBroker:
    """Hands what is fed to those who subscribed, and what is published to ``published``, at once and in order."""

    def __init__(self, published: Callable[[Publication], None]) -> None:
        self._published = published
        self._takers: dict[MemorySubscription, None] = {}

    async def subscribe(
        self,
        topic_filter: str,
        qos: Literal[0, 1],  # noqa: ARG002 - nothing is lost here
        take: Take,
        *,
        group: str = "",  # noqa: ARG002 - whoever is here is alone in it
    ) -> "MemorySubscription":
        """Have what is fed on these topics taken."""
        subscription = MemorySubscription(topic_filter, take, self._takers)
        self._takers[subscription] = None
        return subscription

    def publish(self, publication: Publication, told: Told) -> None:
        """Take a publication; ``told`` is called a moment later."""
        self._published(publication)
        asyncio.get_running_loop().call_soon(told, None)

    async def flush(self) -> bool:
        """Nothing is ever under way."""
        return True

    def feed(self, message: FedMessage) -> bool:
        """Hand a message to whoever listens to its topic; False if nobody does."""
        takers = [taker for taker in self._takers if matches(taker.filter, message.topic)]
        for taker in takers:
            taker.take(message)
        return bool(takers)


class MemorySubscription:
    """Messages of one topic filter."""

    def __init__(self, topic_filter: str, take: Take, among: "dict[MemorySubscription, None]") -> None:
        self.filter, self.take, self._among = topic_filter, take, among

    async def close(self) -> None:
        """Take no more."""
        self._among.pop(self, None)

    cease = close  # nothing is held
