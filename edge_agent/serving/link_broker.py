"""Gives a pipeline's engine the MQTT connection it runs on."""

from typing import Literal

from pipeline_runtime.broker import Publication
from transport.mqtt import Link, Subscription


class LinkBroker:
    """A link as the pipeline runtime's ``Broker``."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def subscribe(self, topic_filter: str, qos: Literal[0, 1]) -> Subscription:
        """Subscribe; the engine acknowledges."""
        return await self._link.subscribe(topic_filter, qos=qos, auto_ack=False)

    async def publish(self, publication: Publication) -> None:
        """Publish."""
        await self._link.publish(publication.topic, publication.payload, qos=publication.qos, retain=publication.retain)
