"""A broker inside the process, for pipelines that are tried without one: no connection, no clock, no threads."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Literal

from pipeline_runtime.broker import Message, Publication
from schemas.topics import matches


@dataclass(slots=True, eq=False)
class FedMessage:
    """A message that was fed; ``acknowledged`` is set when the pipeline is done with it."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    acknowledged: asyncio.Event = field(default_factory=asyncio.Event)

    def ack(self) -> None:
        """The pipeline is done with it."""
        self.acknowledged.set()


class MemoryBroker:
    """Hands what is fed to those who subscribed, and what is published to ``published``, at once and in order."""

    def __init__(self, published: Callable[[Publication], None]) -> None:
        self._published = published
        self._takers: dict[MemorySubscription, None] = {}

    async def subscribe(self, topic_filter: str, qos: Literal[0, 1]) -> "MemorySubscription":  # noqa: ARG002
        """Have what is fed on these topics taken."""
        subscription = MemorySubscription(topic_filter, self._takers)
        self._takers[subscription] = None
        return subscription

    async def publish(self, publication: Publication) -> None:
        """Take a publication."""
        self._published(publication)

    def feed(self, message: FedMessage) -> bool:
        """Hand a message to whoever listens to its topic; False if nobody does."""
        takers = [taker for taker in self._takers if matches(taker.filter, message.topic)]
        for taker in takers:
            taker.queue.put_nowait(message)
        return bool(takers)


class MemorySubscription:
    """Messages of one topic filter."""

    def __init__(self, topic_filter: str, among: "dict[MemorySubscription, None]") -> None:
        self.filter, self._among = topic_filter, among
        self.queue: asyncio.Queue[Message] = asyncio.Queue()

    async def __aiter__(self) -> AsyncIterator[Message]:
        while True:
            yield await self.queue.get()

    async def close(self) -> None:
        """Take no more."""
        self._among.pop(self, None)
