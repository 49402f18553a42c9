"""What the runtime needs of an MQTT broker; whoever runs an engine brings it along."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Publication:
    """A message to publish."""

    topic: str
    payload: bytes
    qos: Literal[0, 1] = 1
    retain: bool = False


class Message(Protocol):
    """A message that came."""

    @property
    def topic(self) -> str:
        """What it was published on."""

    @property
    def payload(self) -> bytes:
        """Its bytes."""

    def ack(self) -> None:
        """Tell the broker that it need not send this message again."""


class Subscription(Protocol):
    """Messages of one topic filter, in the order in which they came."""

    def __aiter__(self) -> AsyncIterator[Message]:
        """Iterate over them as they come."""

    async def close(self) -> None:
        """Unsubscribe; a persistent session keeps nothing more for this filter."""


class Broker(Protocol):
    """A connection that comes back by itself when it breaks."""

    async def subscribe(self, topic_filter: str, qos: Literal[0, 1]) -> Subscription:
        """Return once the broker has granted it. Messages are not acknowledged by themselves."""

    async def publish(self, publication: Publication) -> None:
        """Return once the broker has it. Raises Unreachable when it had not within the connection's patience."""
