"""Listens to the dead letters of every pipeline, and keeps them."""

import asyncio
import logging

from pydantic import ValidationError

from controller.stores.database import Database
from controller.stores.dead_letters import digest_of, keep_letters
from controller.stores.serving import dead_letter_topics
from schemas.broker import BrokerAddress
from schemas.dead_letters import DeadLetter
from schemas.errors import BadInput, Unauthorized, Unreachable, Untrusted
from transport.mqtt import Message, Subscription, connect

log = logging.getLogger(__name__)

CLIENT_ID = "tidemill-controller-dead-letters"
BATCH_LETTERS = 50  # that are committed at once; one may have a megabyte
_FIRST_RETRY_S, _LAST_RETRY_S = 0.1, 10.0
_AGAIN_AFTER_S = 1.0  # after the database did not answer


class LetterIntake:
    """Its session is persistent: while the controller is away, the broker keeps the letters.

    It listens to the topics of all versions of every pipeline, for an edge that is away may still run an old one. So
    the topics only become more, and no subscription of an earlier process is ever stale.
    """

    def __init__(self, address: BrokerAddress, database: Database) -> None:
        self._address, self._database = address, database
        self._listening: frozenset[str] = frozenset()
        self._asked = asyncio.Event()
        self._changed = asyncio.Event()  # set and cleared at once: wakes those who wait for any change

    def refresh(self) -> None:
        """Pipelines were declared or changed: look again, soon. Returns at once."""
        self._asked.set()

    async def listening(self) -> None:
        """Wait until the letters of every pipeline that is stored now are taken."""
        topics = await self._database.read(dead_letter_topics)
        while not self._listening.issuperset(topics):
            await self._changed.wait()

    async def serve(self) -> None:
        """Take letters until cancelled; an error that is not the broker's or the database's ends it."""
        pause_s = _FIRST_RETRY_S
        while True:
            try:
                while not await self._topics():  # without a pipeline there is no need of a connection
                    await self._asked.wait()
                await self._session()
            except* (Unauthorized, Unreachable, Untrusted) as refused:
                reasons = [str(error) for error in refused.exceptions]
                log.warning("not listening to dead letters", extra={"reasons": reasons})
            self._listening = frozenset()
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LAST_RETRY_S)

    async def _topics(self) -> frozenset[str]:
        self._asked.clear()
        return await self._database.read(dead_letter_topics)

    async def _session(self) -> None:
        async with (
            connect(self._address, CLIENT_ID, clean_session=False) as link,
            asyncio.TaskGroup() as tasks,
        ):
            while True:
                for topic in sorted(await self._topics() - self._listening):
                    subscription = await link.subscribe(topic, auto_ack=False)
                    tasks.create_task(self._take(subscription), name=f"dead letters: {topic}")
                    self._listening |= {topic}
                self._changed.set()
                self._changed.clear()
                await self._asked.wait()

    async def _take(self, subscription: Subscription) -> None:
        while messages := await subscription.batch(BATCH_LETTERS):
            letters = {digest_of(message.payload): letter for message in messages if (letter := _read(message))}
            await self._keep(letters)
            for message in messages:
                message.ack()

    async def _keep(self, letters: dict[str, DeadLetter]) -> None:
        """Commit, however often the database has to be asked; one that is delivered again is kept once."""
        while letters:
            try:
                await self._database.write(lambda session: keep_letters(session, letters=letters))
            except Unreachable as error:
                log.warning("dead letters wait for the database", extra={"reason": str(error)})
                await asyncio.sleep(_AGAIN_AFTER_S)
                continue
            except BadInput as error:
                log.warning("dead letters refused", extra={"reason": str(error)})
            return


def _read(message: Message) -> DeadLetter | None:
    try:
        return DeadLetter.model_validate_json(message.payload)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        facts = {"topic": message.topic, "reason": f"{first['loc']}: {first['msg']}"}
        log.warning("what came as a dead letter is none", extra=facts)
        return None
