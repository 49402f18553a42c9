"""Which subscription gets a message, and which messages the broker still waits for."""

import logging
from collections.abc import Callable, Iterator

from schemas.errors import BadInput, TidemillError
from schemas.topics import check_syntax, matches, overlap, unshared
from transport.subscription import Listener, Message, Subscription

AnySubscription = Subscription | Listener

log = logging.getLogger(__name__)

_ROUTES = 4096  # topics whose subscription is remembered


class Inbox:
    """The subscriptions of one link. No two overlap, so that each message has one place to go."""

    def __init__(self, *, persistent: bool, max_payload_bytes: int, send_ack: Callable[[Message], None]) -> None:
        self._persistent, self._max_payload_bytes, self._send_ack = persistent, max_payload_bytes, send_ack
        self.too_large = 0  # messages that were dropped for their size
        self._subscriptions: dict[str, AnySubscription] = {}
        self._routes: dict[str, AnySubscription | None] = {}
        self._unacknowledged: dict[int, Message] = {}  # by packet id, of the present connection
        self._unclaimed: list[Message] = []  # of a session from before: their subscriber is still to come
        self._unwanted: set[str] = set()  # filters whose subscriber will not come

    def __iter__(self) -> Iterator[AnySubscription]:
        return iter(list(self._subscriptions.values()))

    def add(self, subscription: AnySubscription) -> None:
        """Deliver to this one from now on, beginning with what came before it did.

        Raises:
            BadInput: its filter is malformed, or overlaps with another's.
        """
        try:
            check_syntax(subscription.filter)
        except ValueError as error:
            raise BadInput(str(error)) from error
        ours = unshared(subscription.filter)
        for other in self._subscriptions:
            if unshared(other) == ours and other != subscription.filter:
                continue  # one of them is shared: the two replace each other, and for a moment both are there
            if overlap(unshared(other), ours):
                raise BadInput(
                    f"{subscription.filter!r} overlaps with {other!r}, which this connection subscribed to already: "
                    "a broker may deliver one message for each; use one filter, or another connection"
                )
        self._subscriptions[subscription.filter] = subscription
        self._unwanted.discard(subscription.filter)
        self._routes.clear()
        for message in self._take_unclaimed(subscription.filter):
            subscription.offer(message)

    def remove(self, topic_filter: str, error: TidemillError | None = None) -> None:
        """Deliver no more for this filter, and let the broker forget what nobody will handle."""
        self._routes.clear()
        if self._persistent:
            self._unwanted.add(topic_filter)
        subscription = self._subscriptions.pop(topic_filter, None)
        left = subscription.end(error) if subscription else []
        for message in left + self._take_unclaimed(topic_filter):
            message.ack()

    def end(self) -> None:
        """The link is closed. Nothing is acknowledged: a session that persists delivers it again."""
        for subscription in self:
            subscription.end()

    def reconnected(self) -> None:
        """The broker delivers anew, with new packet ids, what was not acknowledged before."""
        self._unacknowledged.clear()
        self._unclaimed.clear()

    def deliver(self, message: Message) -> None:
        """Hand a message to its subscription."""
        if message.qos:
            if message.packet_id in self._unacknowledged:
                return  # an impatient broker sends again what we are still working on
            self._unacknowledged[message.packet_id] = message
        if len(message.payload) > self._max_payload_bytes:
            told = {"size_bytes": len(message.payload), "limit_bytes": self._max_payload_bytes}
            log.warning("message too large, dropped", extra={"topic": message.topic, **told})
            self.too_large += 1
            message.ack()
        elif subscription := self._route(message.topic):
            subscription.offer(message)
        elif self._may_be_claimed(message):
            self._unclaimed.append(message)
        else:
            message.ack()

    def acknowledge(self, message: Message) -> None:
        """Called by ``message.ack()``: the first time, tell the broker, if it is the connection that waits for it."""
        if self._unacknowledged.get(message.packet_id) is message:
            del self._unacknowledged[message.packet_id]
            self._send_ack(message)

    def _may_be_claimed(self, message: Message) -> bool:
        unwanted = any(matches(unshared(topic_filter), message.topic) for topic_filter in self._unwanted)
        return self._persistent and message.qos > 0 and not unwanted

    def _route(self, topic: str) -> AnySubscription | None:
        if topic not in self._routes:
            if len(self._routes) >= _ROUTES:
                self._routes.clear()
            found = (entry for entry in self._subscriptions.values() if matches(unshared(entry.filter), topic))
            self._routes[topic] = next(found, None)
        return self._routes[topic]

    def _take_unclaimed(self, topic_filter: str) -> list[Message]:
        taken = [message for message in self._unclaimed if matches(unshared(topic_filter), message.topic)]
        self._unclaimed = [message for message in self._unclaimed if not matches(unshared(topic_filter), message.topic)]
        return taken
