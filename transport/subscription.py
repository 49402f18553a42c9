"""Messages as they come in, and the queue in which one subscriber finds them."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from schemas.errors import TidemillError


def _nothing_to_acknowledge(_: "Message") -> None:
    """For messages that did not come from a broker."""


@dataclass(slots=True, eq=False)  # made once per message: frozen would triple the price
class Message:
    """What somebody published."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False  # it was kept by the broker from before this subscription
    dup: bool = False  # the broker delivered it before
    packet_id: int = 0
    connection: int = 0  # the one that brought it: only there can it be acknowledged
    acknowledge: Callable[["Message"], None] = field(default=_nothing_to_acknowledge, repr=False)

    def ack(self) -> None:
        """Tell the broker that it need not deliver this again. Repeats, and acks that come too late, do nothing."""
        if self.qos:
            self.acknowledge(self)


class Subscription:
    """The messages of one topic filter, for one consumer: ``async for message in subscription``.

    With ``auto_ack`` a message is acknowledged as it is handed out; otherwise the consumer calls ``message.ack()`` once
    what came of it is safe. Iteration ends when the link or the subscription is closed, and raises what the broker
    said if it refuses the subscription after a reconnection.
    """

    def __init__(
        self, topic_filter: str, *, qos: int, queue_size: int, auto_ack: bool, close: Callable[[str], None]
    ) -> None:
        self.filter, self.qos = topic_filter, qos
        self.dropped = 0  # messages that did not fit into the queue
        self._queue: deque[Message] = deque()
        self._size, self._auto_ack, self._close = queue_size, auto_ack, close
        self._droppable = 0  # of those in the queue
        self._news = asyncio.Event()
        self._ended = False
        self._error: TidemillError | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        await self._wait()
        return self._hand_out()

    async def batch(self, limit: int = 1000) -> list[Message]:
        """At least one message, with all others that wait already; none at the end."""
        with suppress(StopAsyncIteration):
            await self._wait()
        return [self._hand_out() for _ in range(min(limit, len(self._queue)))]

    async def close(self) -> None:
        """Unsubscribe. What was not handed out is not delivered again."""
        self._close(self.filter)

    def offer(self, message: Message) -> None:
        """Queue a message that the broker delivered."""
        if message.dup and self._replace_lost(message):
            return
        if len(self._queue) >= self._size and self._droppable:
            self._drop_oldest()
        self._queue.append(message)
        self._droppable += self._may_be_dropped(message)
        self._news.set()

    def end(self, error: TidemillError | None = None) -> list[Message]:
        """Hand out nothing more; returns what is left."""
        left, self._queue = list(self._queue), deque()
        self._ended, self._error = True, error
        self._news.set()
        return left

    async def _wait(self) -> None:
        while not self._queue:
            if self._ended:
                raise self._error or StopAsyncIteration
            self._news.clear()
            await self._news.wait()

    def _hand_out(self) -> Message:
        message = self._queue.popleft()
        self._droppable -= self._may_be_dropped(message)
        if self._auto_ack:
            message.ack()
        return message

    def _replace_lost(self, message: Message) -> bool:
        """Put a repeated message in the place of the one that waits here since a connection that is gone."""
        for index, waiting in enumerate(self._queue):
            same = waiting.topic == message.topic and waiting.payload == message.payload
            if same and waiting.connection != message.connection:
                self._queue[index] = message
                return True
        return False

    def _may_be_dropped(self, message: Message) -> bool:
        """What the consumer acknowledges itself is not: the broker's window bounds it."""
        return self._auto_ack or message.qos == 0

    def _drop_oldest(self) -> None:
        """Make room."""
        for index, waiting in enumerate(self._queue):
            if self._may_be_dropped(waiting):
                del self._queue[index]
                self._droppable -= 1
                self.dropped += 1
                waiting.ack()
                return


class Listener:
    """The messages of one topic filter, handed to a function as they come; it is to acknowledge them."""

    def __init__(
        self,
        topic_filter: str,
        *,
        qos: int,
        take: Callable[[Message], None],
        refused: Callable[[TidemillError], None],
        close: Callable[[str], None],
        cease: Callable[[str], None],
    ) -> None:
        self.filter, self.qos = topic_filter, qos
        self.offer = take
        self._refused, self._close, self._cease = refused, close, cease

    async def close(self) -> None:
        """Unsubscribe."""
        self._close(self.filter)

    async def cease(self) -> None:
        """Unsubscribe, but go on taking what the broker holds for this subscription already."""
        self._cease(self.filter)

    def end(self, error: TidemillError | None = None) -> list[Message]:
        """Nothing is left, for nothing waits here."""
        if error is not None:
            self._refused(error)
        return []
