"""An engine's subscriptions: changed without a gap where they stay the same."""

from collections.abc import Callable, Collection
from functools import partial

from pipeline_runtime.broker import Broker, Message, Subscription
from pipeline_runtime.compiling.plan import Subscribed
from schemas.errors import TidemillError

Take = Callable[[str, Message], None]
"""Gets each message, with the filter it came by."""


class Listening:
    """What is subscribed to."""

    def __init__(self, broker: Broker, take: Take) -> None:
        self._broker, self._take = broker, take
        self._subscriptions: dict[Subscribed, Subscription] = {}

    async def change(self, wanted: Collection[Subscribed]) -> None:
        """Listen to these and no others. Messages of a new one may come before all are granted.

        Raises:
            TidemillError: the broker refused one, or did not answer. What was listened to before still is.
        """
        filters = {key[0] for key in wanted}
        unwanted = [key for key in self._subscriptions if key not in wanted]
        gone = [key for key in unwanted if key[0] not in filters]
        for key in gone:  # first, for a new filter may overlap with it
            await self._subscriptions.pop(key).close()
        fresh: dict[Subscribed, Subscription] = {}
        try:
            for key in wanted:
                if key not in self._subscriptions:
                    fresh[key] = await self._subscribe(key)
        except TidemillError:
            for subscription in fresh.values():
                await subscription.close()
            for key in gone:
                self._subscriptions[key] = await self._subscribe(key)
            raise
        for key in set(unwanted).difference(gone):  # last, for then the broker holds each message for one of the two
            await self._subscriptions.pop(key).close()
        self._subscriptions |= fresh

    async def leave_groups(self) -> None:
        """Take no new share of what a group shares; what was given to this one already still comes."""
        for (_, _, group), subscription in self._subscriptions.items():
            if group:
                await subscription.cease()

    async def _subscribe(self, key: Subscribed) -> Subscription:
        topic_filter, qos, group = key
        return await self._broker.subscribe(topic_filter, qos, partial(self._take, topic_filter), group=group)
