"""Gives a pipeline's engine the MQTT connection it runs on."""

from collections.abc import Callable
from typing import Literal

from pipeline_runtime.broker import Publication, Take, Told
from schemas.errors import TidemillError
from transport.mqtt import Link, Listener


class LinkBroker:
    """A link as the pipeline runtime's ``Broker``."""

    def __init__(self, link: Link, refused: Callable[[TidemillError], None]) -> None:
        """``refused`` is called when the broker takes a subscription back after a reconnection."""
        self._link, self._refused = link, refused

    async def subscribe(self, topic_filter: str, qos: Literal[0, 1], take: Take) -> Listener:
        """Subscribe; the engine acknowledges."""
        return await self._link.listen(topic_filter, take, self._refused, qos=qos)

    def publish(self, publication: Publication, told: Told) -> None:
        """Publish."""
        self._link.send(publication.topic, publication.payload, told, qos=publication.qos, retain=publication.retain)
