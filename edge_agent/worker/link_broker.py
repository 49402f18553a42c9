"""Gives a pipeline's engine the MQTT connection it runs on."""

import asyncio
from collections.abc import Callable
from typing import Literal

from pipeline_runtime.broker import Publication, Take, Told
from schemas.broker import BrokerAddress
from schemas.errors import TidemillError
from schemas.topics import shared
from transport.mqtt import Link, Listener
from transport.sharing import check_sharing


class LinkBroker:
    """A link as the pipeline runtime's ``Broker``."""

    def __init__(self, link: Link, address: BrokerAddress, refused: Callable[[TidemillError], None]) -> None:
        """``refused`` is called when the broker takes a subscription back after a reconnection."""
        self._link, self._address, self._refused = link, address, refused

    async def subscribe(self, topic_filter: str, qos: Literal[0, 1], take: Take, *, group: str = "") -> Listener:
        """Subscribe; the engine acknowledges. A group needs a broker that shares subscriptions."""
        if group:
            await asyncio.to_thread(check_sharing, self._address)
            topic_filter = shared(group, topic_filter)
        return await self._link.listen(topic_filter, take, self._refused, qos=qos)

    def publish(self, publication: Publication, told: Told) -> None:
        """Publish."""
        self._link.send(publication.topic, publication.payload, told, qos=publication.qos, retain=publication.retain)

    async def flush(self) -> bool:
        """Wait for the connection, and then for the broker."""
        await self._link.ready()
        return await self._link.flush()
