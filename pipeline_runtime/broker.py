"""What the runtime needs of an MQTT broker; whoever runs an engine brings it along."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from schemas.errors import TidemillError


@dataclass(slots=True)  # made once per message: frozen would triple the price
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

    @property
    def qos(self) -> int:
        """At QoS 1 the broker sends it again until it is acknowledged."""

    @property
    def dup(self) -> bool:
        """Whether the broker sent it before."""

    @property
    def packet_id(self) -> int:
        """At QoS 1: what the broker calls it until it is acknowledged, also when it sends it again; 0 at QoS 0."""

    def ack(self) -> None:
        """Tell the broker that it need not send this message again."""


Take = Callable[[Message], None]
"""Gets each message as it comes, and sees to it that it is acknowledged."""

Told = Callable[[TidemillError | None], None]
"""Called once, never before ``publish`` has returned: with None when the broker has it, or with why it has not."""


class Subscription(Protocol):
    """A topic filter that is listened to."""

    async def close(self) -> None:
        """Unsubscribe; a persistent session keeps nothing more for this filter."""

    async def cease(self) -> None:
        """Unsubscribe, but go on taking what the broker holds for this subscription already."""


class Broker(Protocol):
    """A connection that comes back by itself when it breaks."""

    async def subscribe(self, topic_filter: str, qos: Literal[0, 1], take: Take, *, group: str = "") -> Subscription:
        """Return once the broker has granted it; ``take`` is called with each message, in the order they came.

        Of a group's subscribers one gets each message. Raises BadInput when the broker knows no groups.
        """

    def publish(self, publication: Publication, told: Told) -> None:
        """Send as soon as there is a connection. Raises TooLarge."""

    async def flush(self) -> bool:
        """Wait until the broker has handled all that it was told, and what it sent until then is here.

        Returns:
            False: it went away meanwhile, so that neither is known.
        """
