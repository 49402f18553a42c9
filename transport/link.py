"""What a daemon does with its connection to the broker: subscribe, publish, notice when it comes and goes."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Literal

from schemas.errors import TidemillError, TooLarge, Unauthorized, Unreachable, Untrusted
from transport.client import Client
from transport.inbox import Inbox
from transport.outbox import Outbox, Parcel, Told
from transport.subscription import Listener, Message, Subscription

log = logging.getLogger(__name__)

_NEVER_SUBSCRIBED = "tidemill/v1/nothing"

MAX_PAYLOAD_BYTES = 1_000_000  # what every broker takes without being told to
_ANSWER_S = 30.0  # how long the broker may take to answer


class Link:
    """A connection to the broker that is made again whenever it is lost. Belongs to one event loop.

    All subscriptions share the broker's window of unacknowledged messages (often 20): a consumer that acknowledges
    late holds up the others, and should have a link of its own.
    """

    def __init__(self, client: Client, *, name: str, persistent: bool, max_payload_bytes: int) -> None:
        self.trouble: TidemillError | None = None  # why there is no connection
        self.dropped = 0  # QoS 0 messages that came faster than this process could look at them
        self._client, self._persistent, self._max_payload_bytes = client, persistent, max_payload_bytes
        self._name = name  # by which the broker knows it
        self._inbox = Inbox(persistent=persistent, max_payload_bytes=max_payload_bytes, send_ack=client.send_ack)
        self._outbox = Outbox(self._hand_over, client.give_up)
        self._changed = asyncio.Event()  # set and cleared at once: wakes those who wait for any change
        self._up = self._closed = self._greeting = False
        self._greeted = 0  # connections so far on which every subscription was made
        self._asked: dict[int, str] = {}  # packet id of a SUBSCRIBE → filter
        self._granted: dict[str, asyncio.Future[None]] = {}  # those whose subscriber waits
        self._left: dict[int, str] = {}  # packet id of an UNSUBSCRIBE → filter
        self._unwanted: set[str] = set()  # filters to unsubscribe from, until the broker has confirmed

    @property
    def connected(self) -> bool:
        """Whether the broker is reachable now."""
        return self._up

    @property
    def too_large(self) -> int:
        """How many messages were dropped for their size."""
        return self._inbox.too_large

    async def ready(self) -> None:
        """Wait until the broker is reachable.

        Raises:
            Unauthorized: it refuses our credentials.
            Untrusted: its certificate is not the one of a broker that we trust.
        """
        while not self._up:
            if isinstance(self.trouble, Unauthorized | Untrusted):
                raise self.trouble
            await self._changed.wait()

    async def lost(self) -> None:
        """Wait until the broker is not reachable."""
        while self._up:
            await self._changed.wait()

    async def connections(self) -> AsyncGenerator[int, None]:
        """Yield a growing number now and after every reconnection, once all subscriptions are made again."""
        seen = 0
        while not self._closed:
            if seen == self._greeted:
                await self._changed.wait()
            else:
                seen = self._greeted
                yield seen

    async def publish(
        self, topic: str, payload: bytes, *, qos: Literal[0, 1] = 1, retain: bool = False, timeout_s: float = 30.0
    ) -> None:
        """Publish, and return when the broker has it (QoS 1) or when it was written to the connection (QoS 0).

        At most 20 messages are on their way; the others wait here for room, and while there is no connection.
        One that is on its way when the connection breaks is sent again after the next: it may arrive twice.

        Raises:
            Unreachable: no acknowledgement within ``timeout_s``, or the link was closed. The message may still arrive
                if it was on its way already; nothing is kept beyond the life of this link.
            TooLarge: brokers would close the connection on a message of that size.
            BadPayload: this broker closes it, again and again (only with ``in_loop``).
        """
        arrived = asyncio.get_running_loop().create_future()

        def told(error: TidemillError | None) -> None:
            if not arrived.done():
                arrived.set_exception(error) if error else arrived.set_result(None)

        parcel = self.send(topic, payload, told, qos=qos, retain=retain)
        try:
            async with asyncio.timeout(timeout_s):
                await arrived
        except TimeoutError as error:
            because = f": {self.trouble}" if self.trouble else ""
            raise Unreachable(f"{topic} was not acknowledged within {timeout_s:g} s{because}") from error
        finally:
            if not arrived.done() or arrived.cancelled():
                self._outbox.withdraw(parcel)

    def send(self, topic: str, payload: bytes, told: Told, *, qos: Literal[0, 1] = 1, retain: bool = False) -> Parcel:
        """Publish as ``publish`` does, with as much patience as it takes; ``told`` is called when it is known.

        It is never called before this returns. Raises TooLarge.
        """
        if len(payload) > self._max_payload_bytes:
            raise TooLarge(f"{topic}: {len(payload)} bytes are too many for a message; {self._max_payload_bytes} fit")
        parcel = Parcel(topic, payload, qos, retain, told)
        if self._closed:
            error = Unreachable(f"{topic} cannot be published: the connection was closed")
            asyncio.get_running_loop().call_soon(told, error)
        else:
            self._outbox.add(parcel)
        return parcel

    async def subscribe(
        self, topic_filter: str, *, qos: Literal[0, 1] = 1, queue_size: int = 1000, auto_ack: bool = True
    ) -> Subscription:
        """Subscribe, now and after every reconnection; returns when the broker has agreed.

        Of QoS 0 and automatically acknowledged messages the oldest are dropped when more than ``queue_size`` wait.

        Raises:
            Unauthorized: the broker refuses.
            Unreachable: it did not answer in time; there is no subscription then.
            BadInput: the filter is malformed or overlaps with another one of this link.
        """
        subscription = Subscription(topic_filter, qos=qos, queue_size=queue_size, auto_ack=auto_ack, close=self._leave)
        await self._make(subscription)
        return subscription

    async def listen(
        self,
        topic_filter: str,
        take: Callable[[Message], None],
        refused: Callable[[TidemillError], None],
        *,
        qos: Literal[0, 1] = 1,
    ) -> Listener:
        """Subscribe as ``subscribe`` does, but have ``take`` called with each message, which is to acknowledge it.

        ``refused`` is called if the broker refuses the subscription after a reconnection.
        """
        listener = Listener(topic_filter, qos=qos, take=take, refused=refused, close=self._leave, cease=self.cease)
        await self._make(listener)
        return listener

    async def _make(self, subscription: Subscription | Listener) -> None:
        topic_filter, qos = subscription.filter, subscription.qos
        self._inbox.add(subscription)
        self._unwanted.discard(topic_filter)
        granted = self._granted[topic_filter] = asyncio.get_running_loop().create_future()
        if self._up:
            self._asked[self._client.subscribe(topic_filter, qos)] = topic_filter
        try:
            async with asyncio.timeout(_ANSWER_S):
                await granted
        except BaseException as error:
            self._leave(topic_filter)
            if isinstance(error, TimeoutError):
                raise Unreachable(f"no answer to the subscription to {topic_filter!r}: {self.trouble}") from error
            raise
        finally:
            self._granted.pop(topic_filter, None)

    async def subscribe_patiently(
        self, topic_filter: str, *, qos: Literal[0, 1] = 1, queue_size: int = 1000
    ) -> Subscription:
        """Subscribe as soon as there is a connection that lasts long enough for it.

        Raises:
            Unauthorized: the broker refuses.
            Unreachable: the link was closed meanwhile.
        """
        async for _ in self.connections():
            with suppress(Unreachable):
                return await self.subscribe(topic_filter, qos=qos, queue_size=queue_size)
        raise Unreachable(f"the connection was closed before {topic_filter!r} could be subscribed to")

    async def unsubscribe(self, topic_filter: str) -> None:
        """End a subscription, or one that a persistent session still has from before.

        Without a connection it is ended as soon as there is one.
        """
        self._leave(topic_filter)
        with suppress(TimeoutError):
            async with asyncio.timeout(_ANSWER_S):
                while self._up and topic_filter in self._unwanted:
                    await self._changed.wait()

    def cease(self, topic_filter: str) -> None:
        """Unsubscribe, but hold or hand on what the broker sends still for a subscription to the same topics.

        Without a connection it is done as soon as there is one.
        """
        if self._up:
            self._left[self._client.unsubscribe(topic_filter)] = topic_filter
        if self._up or (self._persistent and not self._closed):
            self._unwanted.add(topic_filter)

    async def flush(self) -> bool:
        """Wait until the broker has handled everything that was sent before, acknowledgements included.

        MQTT has no such packet; ending a subscription that never was is answered in its turn. What the broker sent
        before its answer has arrived then.

        Returns:
            False: there is no connection, or no answer in time.
        """
        await self.unsubscribe(_NEVER_SUBSCRIBED)
        return self._up and _NEVER_SUBSCRIBED not in self._unwanted

    # What follows is called by the client, on the event loop, in the order in which it happened.

    def came_up(self) -> None:
        """A connection is there: subscribe anew, and then tell everybody."""
        log.info("connected to the broker", extra={"client": self._name})
        self._up, self._greeting, self.trouble = True, True, None
        self._inbox.reconnected()
        if not self._persistent:
            self._unwanted.clear()  # the new session knows nothing of them
        self._left = {self._client.unsubscribe(topic_filter): topic_filter for topic_filter in self._unwanted}
        wanted = [entry for entry in self._inbox if entry.filter not in self._unwanted]
        self._asked = {self._client.subscribe(entry.filter, entry.qos): entry.filter for entry in wanted}
        self._greet_if_subscribed()
        self._client.send_again()
        self._outbox.connected()

    def went_down(self, trouble: TidemillError) -> None:
        """The connection is lost, or an attempt to make one failed."""
        if self._up or str(trouble) != str(self.trouble):
            log.warning("no connection to the broker", extra={"client": self._name, "reason": str(trouble)})
        self._up, self._greeting, self.trouble = False, False, trouble
        self._asked.clear()
        self._left.clear()
        self._outbox.disconnected(trouble)
        self._notify()

    def arrived(self, message: Message) -> None:
        """A message came in."""
        message.acknowledge = self._inbox.acknowledge
        self._inbox.deliver(message)

    def published(self, packet_id: int) -> None:
        """The broker has acknowledged a message of ours."""
        self._outbox.arrived(packet_id)

    def subscribed(self, packet_id: int, *, granted: bool) -> None:
        """The broker has answered a SUBSCRIBE."""
        topic_filter = self._asked.pop(packet_id, "")
        waiting = self._granted.get(topic_filter)
        if topic_filter and not granted:
            refusal = Unauthorized(f"the broker refuses the subscription to {topic_filter!r}")
            self._inbox.remove(topic_filter, refusal)
            if waiting and not waiting.done():
                waiting.set_exception(refusal)
        elif waiting and not waiting.done():
            waiting.set_result(None)
        self._greet_if_subscribed()

    def unsubscribed(self, packet_id: int) -> None:
        """The broker has answered an UNSUBSCRIBE."""
        self._unwanted.discard(self._left.pop(packet_id, ""))
        self._notify()

    def close(self) -> None:
        """End every iteration and every wait; the client sends nothing any more."""
        self._closed, self._up = True, False
        self.trouble = Unreachable("the connection was closed")
        self._inbox.end()
        self._outbox.end()
        self._notify()

    def _hand_over(self, parcel: Parcel) -> int:
        return self._client.publish(parcel.topic, parcel.payload, qos=parcel.qos, retain=parcel.retain)

    def _leave(self, topic_filter: str) -> None:
        self._inbox.remove(topic_filter)
        self.cease(topic_filter)

    def _greet_if_subscribed(self) -> None:
        if self._greeting and not self._asked:
            self._greeting = False
            self._greeted += 1
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed.clear()
