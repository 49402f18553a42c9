"""Saying that this edge is there, and noticing when the controller is reborn."""

import logging
from collections.abc import Callable
from contextlib import suppress

from schemas import topics
from schemas.errors import Unreachable
from schemas.names import EdgeName
from schemas.wire import ControllerPresence, Presence
from transport.mqtt import Link, Subscription

log = logging.getLogger(__name__)


class Announcer:
    """Publishes this session's presence, and has everything told anew to whoever may have missed it."""

    def __init__(self, edge: EdgeName, session_id: str, tell_anew: Callable[[], None]) -> None:
        self._edge, self._session_id, self._tell_anew = edge, session_id, tell_anew
        self._controller_session = ""

    @property
    def topic(self) -> str:
        """Where the presence is retained."""
        return topics.PRESENCE.to(edge=self._edge)

    def presence(self, *, online: bool) -> bytes:
        """What to publish, or to leave as last will."""
        return Presence(edge=self._edge, online=online, session_id=self._session_id).to_wire()

    async def follow_connections(self, link: Link) -> None:
        """After every connect and reconnect: be online, and tell everything."""
        async for _ in link.connections():
            await self._announce(link)

    async def follow_controller(self, link: Link, messages: Subscription) -> None:
        """The same for every new session of the controller: it may come from an older backup."""
        async for message in messages:
            try:
                controller = ControllerPresence.model_validate_json(message.payload)
            except ValueError as error:
                log.warning("controller's presence not understood", extra={"reason": str(error)})
                continue
            if controller.online and controller.session_id != self._controller_session:
                self._controller_session = controller.session_id
                await self._announce(link)

    async def leave(self, link: Link, timeout_s: float) -> None:
        """Say goodbye; without a broker its last will does."""
        with suppress(Unreachable):
            await link.publish(self.topic, self.presence(online=False), retain=True, timeout_s=timeout_s)

    async def _announce(self, link: Link) -> None:
        with suppress(Unreachable):  # the connection broke again: the next one announces
            await link.publish(self.topic, self.presence(online=True), retain=True)
        self._tell_anew()
