"""Saying that this edge is there, and noticing when somebody must be told everything anew."""

import logging
from collections.abc import Callable
from contextlib import suppress

from edge_agent.contact import Contact
from schemas import topics
from schemas.errors import Unreachable
from schemas.names import EdgeName
from schemas.wire import ControllerPresence, Presence
from transport.mqtt import Link, Subscription

log = logging.getLogger(__name__)

GOODBYE_S = 1.0  # without a broker the last will says it


class Announcer:
    """Publishes this session's presence after every connect and to every new session of the controller."""

    def __init__(self, edge: EdgeName, session_id: str) -> None:
        self._edge, self._session_id = edge, session_id
        self._topic = topics.PRESENCE.to(edge=edge)
        self._controller_session = ""

    @property
    def will(self) -> tuple[str, bytes]:
        """What the broker is to publish when this agent dies."""
        return self._topic, self._presence(online=False)

    async def follow_connections(self, link: Link, tell_anew: Callable[[], None]) -> None:
        """After every connect: be online, and have everything told."""
        async for _ in link.connections():
            await self._announce(link, tell_anew)

    async def follow_controller(
        self, link: Link, messages: Subscription, contact: Contact, tell_anew: Callable[[], None]
    ) -> None:
        """The same for a reborn controller: it may have missed something, or come from an older backup."""
        async for message in messages:
            try:
                controller = ControllerPresence.model_validate_json(message.payload)
            except ValueError as error:
                log.warning("controller's presence not understood", extra={"reason": str(error)})
                continue
            contact.heard(online=controller.online and link.connected)  # it may have waited here while that broke
            if controller.online and controller.session_id != self._controller_session:
                self._controller_session = controller.session_id
                await self._announce(link, tell_anew)

    async def leave(self, link: Link) -> None:
        """Say goodbye, if the broker is there."""
        with suppress(Unreachable):
            await link.publish(self._topic, self._presence(online=False), retain=True, timeout_s=GOODBYE_S)

    async def _announce(self, link: Link, tell_anew: Callable[[], None]) -> None:
        with suppress(Unreachable):  # the connection broke again: the next one announces
            await link.publish(self._topic, self._presence(online=True), retain=True)
        tell_anew()

    def _presence(self, *, online: bool) -> bytes:
        return Presence(edge=self._edge, online=online, session_id=self._session_id).to_wire()
