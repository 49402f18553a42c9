"""An engine's subscriptions: changed without a gap where they stay the same; a task each hands messages on."""

import asyncio
from collections.abc import Awaitable, Callable, Collection

from pipeline_runtime.broker import Broker, Message, Subscription
from pipeline_runtime.plan import Subscribed
from schemas.errors import TidemillError

Take = Callable[[Message, str], Awaitable[None]]
"""Gets each message, with the filter it came by; while it is awaited, no other message of that filter is handed on."""


class Listening:
    """What is subscribed to. Its tasks belong to the group it is given."""

    def __init__(self, broker: Broker, tasks: asyncio.TaskGroup, take: Take) -> None:
        self._broker, self._tasks, self._take = broker, tasks, take
        self._subscriptions: dict[Subscribed, Subscription] = {}
        self._listeners: set[asyncio.Task[None]] = set()

    async def change(self, wanted: Collection[Subscribed], switch: Callable[[], None]) -> None:
        """Listen to these and no others; ``switch`` is called when all is granted and nothing new was handed on yet.

        Raises:
            TidemillError: the broker refused one, or did not answer. What was listened to before still is.
        """
        gone = [key for key in self._subscriptions if key not in wanted]
        for key in gone:  # first, for a new filter may overlap with it
            await self._subscriptions.pop(key).close()
        fresh: dict[Subscribed, Subscription] = {}
        try:
            for key in wanted:
                if key not in self._subscriptions:
                    fresh[key] = await self._broker.subscribe(*key)
        except TidemillError:
            for subscription in fresh.values():
                await subscription.close()
            for key in gone:
                self._listen(key, await self._broker.subscribe(*key))
            raise
        switch()
        for key, subscription in fresh.items():
            self._listen(key, subscription)

    def stop(self) -> None:
        """Hand on nothing more. The subscriptions stay: a persistent session keeps what comes."""
        for listener in self._listeners:
            listener.cancel()

    def _listen(self, key: Subscribed, subscription: Subscription) -> None:
        self._subscriptions[key] = subscription
        listener = self._tasks.create_task(self._hand_on(key[0], subscription), name=f"listen to {key[0]}")
        self._listeners.add(listener)
        listener.add_done_callback(self._listeners.discard)

    async def _hand_on(self, topic_filter: str, subscription: Subscription) -> None:
        async for message in subscription:
            await self._take(message, topic_filter)
