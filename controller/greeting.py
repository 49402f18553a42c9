"""Exchanges whole documents anew whenever the broker is reached again: correctness does not rest on what it keeps."""

from contextlib import suppress

from controller.manifests import Manifests
from schemas.errors import Unreachable
from schemas.topics import CONTROLLER_PRESENCE
from schemas.wire import ControllerPresence
from transport.mqtt import Link


class Greeting:
    """Tells all edges that this controller is here, and each what should be there."""

    def __init__(self, link: Link, manifests: Manifests, session_id: str) -> None:
        self._link, self._manifests = link, manifests
        self._here = ControllerPresence(online=True, session_id=session_id)

    async def serve(self) -> None:
        """Greet now and after every reconnection, until cancelled."""
        async for _ in self._link.connections():
            with suppress(Unreachable):  # the connection broke again: the next one greets
                await self._link.publish(CONTROLLER_PRESENCE.pattern, self._here.to_wire(), retain=True)
            await self._manifests.mark_all(again=True)
