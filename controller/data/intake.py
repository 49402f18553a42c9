"""One collection's session at the broker: from a device's message to a row on the disk."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from controller.data.payloads import Parsed, parse_rows
from controller.stores.collections import CollectionStore
from schemas.broker import BrokerAddress
from schemas.collections import CollectionSpec
from schemas.errors import Unauthorized, Unreachable, Untrusted
from transport.mqtt import MAX_PAYLOAD_BYTES, Link, Message, Subscription, connect

log = logging.getLogger(__name__)

BATCH_MESSAGES = 1000
"""At most so many are committed at once; how many wait is up to the broker's window."""

_FIRST_RETRY_S, _LAST_RETRY_S = 0.1, 10.0
_GOODBYE_S = 2.0


@dataclass(slots=True)
class Counters:
    """What came for a collection since this process started, and what became of it."""

    accepted: int = 0  # rows
    rejected: int = 0  # rows that did not fit, and payloads that were no rows
    ignored_keys: int = 0  # that name no column
    retained: int = 0  # messages from before the subscription, passed over
    batches: int = 0  # transactions
    retries: int = 0  # batches that the store did not take at once


class Intake:
    """Takes the messages of one collection's topics.

    The session is persistent: while nobody is here, the broker keeps what devices publish with QoS 1. A message is
    acknowledged after its rows are committed, so none is lost; when this process or the connection dies between the
    two, the broker delivers it again and its rows are there twice.
    """

    def __init__(self, address: BrokerAddress, store: CollectionStore, spec: CollectionSpec) -> None:
        self.spec = spec  # columns may change at any time; for other topics a new intake is needed
        self.counters = Counters()
        self._address, self._store = address, store

    async def serve(self, listening: Callable[[], None]) -> None:
        """Take messages until cancelled; calls ``listening`` when the broker has agreed to deliver them.

        Without topics, end the session that an earlier declaration has left at the broker, and return.
        """
        pause_s = _FIRST_RETRY_S
        while True:
            try:
                if not self.spec.topics:
                    return await self._leave()
                await self._session(listening)
            except* (Unauthorized, Unreachable, Untrusted) as refused:
                reasons = [str(error) for error in refused.exceptions]
                log.warning("collection not listening", extra={"collection": self.spec.name, "reasons": reasons})
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LAST_RETRY_S)

    @property
    def _client_id(self) -> str:
        return f"tidemill-controller-collection-{self.spec.name}"

    async def _session(self, listening: Callable[[], None]) -> None:
        async with connect(self._address, self._client_id, clean_session=False) as link:
            try:
                async with asyncio.TaskGroup() as tasks:
                    for subscription in await self._subscribe(link):
                        tasks.create_task(self._take(subscription), name=f"{self.spec.name}: {subscription.filter}")
                    listening()
            finally:
                await _acknowledged(link)

    async def _leave(self) -> None:
        async with connect(self._address, self._client_id):  # a clean session ends the one before
            await asyncio.to_thread(self._store.note_subscribed, self.spec.name, ())

    async def _subscribe(self, link: Link) -> list[Subscription]:
        """Subscribe to the topics, and end what an earlier declaration, maybe of an earlier process, left behind."""
        name, topics = self.spec.name, self.spec.topics
        before = (await asyncio.to_thread(self._store.subscribed)).get(name, frozenset())
        if not before.issuperset(topics):
            await asyncio.to_thread(self._store.note_subscribed, name, before.union(topics))
        # First the new ones: what waits for a filter that we leave may be wanted by one that we take.
        subscriptions = [await link.subscribe(topic, auto_ack=False) for topic in topics]
        for stale in sorted(before.difference(topics)):
            await link.unsubscribe(stale)
        if before.difference(topics):
            await asyncio.to_thread(self._store.note_subscribed, name, topics)
        return subscriptions

    async def _take(self, subscription: Subscription) -> None:
        while messages := await subscription.batch(BATCH_MESSAGES):
            await self._keep(messages)

    async def _keep(self, messages: Sequence[Message]) -> None:
        """Commit and acknowledge, however often the store has to be asked."""
        pause_s = _FIRST_RETRY_S
        while True:
            task = asyncio.create_task(self._commit_and_acknowledge(messages), name=f"{self.spec.name}: commit")
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError:
                # Its thread would commit all the same: only with the acknowledgement are the rows not there twice.
                with suppress(Unreachable):
                    await task
                raise
            except Unreachable as error:
                self.counters.retries += 1
                log.warning("rows wait for the store", extra={"collection": self.spec.name, "reason": str(error)})
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LAST_RETRY_S)
            else:
                return

    async def _commit_and_acknowledge(self, messages: Sequence[Message]) -> None:
        parsed = await asyncio.to_thread(self._commit, messages)
        for message in messages:
            message.ack()
        counters = self.counters
        counters.accepted += len(parsed.rows)
        counters.rejected += len(parsed.rejects)
        counters.ignored_keys += parsed.ignored_keys
        counters.retained += sum(message.retain for message in messages)
        counters.batches += 1

    def _commit(self, messages: Sequence[Message]) -> Parsed:
        parsed, spec = Parsed(), self.spec
        for message in messages:
            # The broker sends what it retained at every new subscription: that was taken when it was published.
            if not message.retain:
                parsed += parse_rows(message.payload, spec, max_bytes=MAX_PAYLOAD_BYTES, source=message.topic)
        if parsed.rows or parsed.rejects:
            self._store.insert_all(spec.name, [parsed])
        return parsed


async def _acknowledged(link: Link) -> None:
    """Wait until the broker has seen our acknowledgements: closing a socket with unread messages would discard them."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_GOODBYE_S):
            await link.flush()
