"""Feeds a pipeline messages one at a time, without a broker, and says what came of each."""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter

from pydantic import ValidationError

from pipeline_runtime.broker import Publication
from pipeline_runtime.engine import Engine
from pipeline_runtime.loading import Loaded
from pipeline_runtime.memory_broker import FedMessage, MemoryBroker
from schemas.dead_letters import DeadLetter
from schemas.topics import matches
from tidemill.replay.answers import Answer, Failure, Outcome
from tidemill.replay.recording import Recorded
from tidemill.replay.watched import Resolved, Wait, Watch

DRAIN_S = 1.0
_TURNS = 20  # of the event loop, after which what can go on without waiting has gone on


@dataclass(frozen=True, slots=True)
class Numbered:
    """A message, and its number in the recording."""

    number: int  # from 1
    recorded: Recorded


class Player:
    """One pipeline. A message is fed when the one before is done with, so that each answer has its question.

    A mqtt_sub in the middle gets the recording's next message on its topic that came after the run's own and that no
    earlier run took.
    """

    def __init__(self, loaded: Loaded, replies: Iterable[Numbered], resolved: Resolved) -> None:
        self._plan = loaded.plan
        self._watch = Watch(resolved)
        self.broker = MemoryBroker(self._note)
        self.loaded = self._watch.over(loaded)
        self._published: list[Publication] = []
        self._last_at = 0.0
        filters = loaded.plan.filters
        self._roots = [filters[root] for root in loaded.plan.roots if root in filters]
        self._replies = {
            node: [one for one in replies if matches(topic_filter, one.recorded.topic)]
            for node, topic_filter in filters.items()
            if node not in loaded.plan.roots
        }

    @classmethod
    @asynccontextmanager
    async def playing(
        cls, loaded: Loaded, replies: Iterable[Numbered] = (), resolved: Resolved = lambda _node, _result: None
    ) -> "AsyncIterator[Player]":
        """A player for the length of the block.

        Args:
            loaded: the pipeline.
            replies: messages for nodes in the middle, in order.
            resolved: told of each node's result.
        """
        player = cls(loaded, list(replies), resolved)
        async with asyncio.TaskGroup() as tasks:
            engine = Engine(player.broker, tasks)
            await engine.swap(player.loaded)
            try:
                yield player
            finally:
                await engine.drain(DRAIN_S)

    async def play(self, message: Numbered) -> Outcome | None:
        """What the pipeline makes of a message; None if it does not begin a run of it."""
        recorded = message.recorded
        if not any(matches(root, recorded.topic) for root in self._roots):
            return None
        fed = FedMessage(recorded.topic, recorded.message, recorded.qos, recorded.retain)
        self._published = []
        began = self._last_at = perf_counter()
        self.broker.feed(fed)
        await self._until_done(fed, message.number)
        return self._outcome(message, (self._last_at - began) * 1000)

    async def _until_done(self, fed: FedMessage, number: int) -> None:
        done = asyncio.ensure_future(fed.acknowledged.wait())
        while not done.done():
            if self._watch.waits:
                await self._reply(self._watch.waits[0], number)
                continue
            self._watch.changed.clear()
            changed = asyncio.ensure_future(self._watch.changed.wait())
            await asyncio.wait({done, changed}, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
        await _settle()  # what a node began of itself, such as a window's rows

    async def _reply(self, wait: Wait, number: int) -> None:
        """Feed a waiting node the recording's messages until one is taken."""
        replies = self._replies[wait.node]
        for at in range(bisect_right(replies, number, key=lambda one: one.number), len(replies)):
            recorded = replies[at].recorded
            self.broker.feed(FedMessage(recorded.topic, recorded.message, 0, recorded.retain))
            await _settle()
            if wait.over:
                del replies[at]
                return
        wait.give_up(f"there is no later message on {self._plan.filters[wait.node]!r} that it could wait for")
        await _settle()

    def _note(self, publication: Publication) -> None:
        self._published.append(publication)
        self._last_at = perf_counter()

    def _outcome(self, message: Numbered, latency_ms: float) -> Outcome:
        answers, failure = [], None
        for one in self._published:
            letter = _letter(one) if one.topic == self._plan.dead_letters else None
            if letter is not None:
                failure = failure or Failure(node=letter.node, reason=letter.error)
            else:
                answers.append(Answer.of(one.topic, one.payload))
        return Outcome(
            number=message.number,
            topic=message.recorded.topic,
            answers=tuple(answers),
            failure=failure,
            latency_ms=latency_ms,
        )


async def _settle() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)


def _letter(publication: Publication) -> DeadLetter | None:
    try:
        return DeadLetter.model_validate_json(publication.payload)
    except ValidationError:
        return None
