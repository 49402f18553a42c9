"""Feeds a pipeline messages one at a time, without a broker, and says what came of each."""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from pydantic import ValidationError

from pipeline_runtime.broker import Publication
from pipeline_runtime.compiling.plan import Plan
from pipeline_runtime.running.engine import Engine
from pipeline_runtime.running.lane import PENDING
from pipeline_runtime.running.loaded import Loaded
from pipeline_runtime.running.loading import Emit, load
from pipeline_runtime.running.memory_broker import FedMessage, MemoryBroker
from pipeline_runtime.running.outcomes import Outcomes
from pipeline_runtime.running.run import Run
from schemas.dead_letters import DeadLetter
from schemas.names import LibraryName, ModelRef
from schemas.topics import matches
from tidemill.replay.answers import Answer, Failure, Outcome
from tidemill.replay.recording import Recorded
from tidemill.replay.waiting import Wait, Waits

DRAIN_S = 1.0
_TURNS = 20  # of the event loop, after which what can go on without waiting has gone on


@dataclass(frozen=True, slots=True)
class Prepared:
    """A pipeline that was checked, with the files that it needs."""

    plan: Plan
    models: Mapping[ModelRef, Path]
    libraries: Mapping[LibraryName, Path]

    def load(self, emit: Emit) -> Loaded:
        """Have it ready to run. Blocks. Raises BadInput when a file cannot be loaded, or does not fit."""
        return load(self.plan, 1, models=self.models, libraries=self.libraries, emit=emit)


@dataclass(frozen=True, slots=True)
class Numbered:
    """A message, and its number in the recording."""

    number: int  # from 1
    recorded: Recorded


class _Seen(Outcomes):
    """Is told of each run that has ended, and keeps what its nodes gave."""

    def __init__(self, changed: asyncio.Event) -> None:
        super().__init__()
        self._changed = changed
        self.forget(None)

    def forget(self, message: FedMessage | None) -> None:
        """What comes now is of this message."""
        self._message, self.run_ended = message, False
        self.results: dict[str, object] = {}  # by the node's id
        self.failure: Failure | None = None  # the first

    def add(self, run: Run) -> None:
        """A run has ended; one that a node began of itself belongs to the message that is at hand."""
        for node, result in zip(run.lane.ids, run.results, strict=True):
            if result is not PENDING:
                self.results[node] = result
        if run.failure is not None and self.failure is None:
            self.failure = Failure(node=run.failure.node, reason=run.failure.reason)
        self.run_ended = self.run_ended or run.message is self._message
        self._changed.set()


class Player:
    """One pipeline. A message is fed when the one before is done with, so that each answer has its question.

    A mqtt_sub in the middle gets the recording's next message on its topic that came after the run's own and that no
    earlier run took.
    """

    def __init__(self, plan: Plan, replies: Iterable[Numbered]) -> None:
        self._plan = plan
        self._changed = asyncio.Event()  # a run has ended, or a node in the middle waits
        self._seen = _Seen(self._changed)
        self._waits = Waits(self._changed)
        self._published: list[Publication] = []
        self._last_at = 0.0
        self._broker = MemoryBroker(self._note)
        self._engine = Engine(self._broker)
        self._engine.outcomes = self._seen
        found = list(replies)
        self._replies = {
            node: [one for one in found if matches(topic_filter, one.recorded.topic)]
            for node, topic_filter in plan.filters.items()
            if node not in plan.roots
        }

    @classmethod
    @asynccontextmanager
    async def playing(cls, pipeline: Prepared, replies: Iterable[Numbered] = ()) -> "AsyncIterator[Player]":
        """A player for the length of the block.

        Args:
            pipeline: what is played.
            replies: messages for nodes in the middle, in order.

        Raises:
            BadInput: the pipeline cannot be loaded, or a node of it not be opened.
        """
        player = cls(pipeline.plan, replies)
        loaded = pipeline.load(player._engine.emit)
        player._waits.watch(loaded)
        await player._engine.swap(loaded)
        try:
            yield player
        finally:
            await player._engine.drain(DRAIN_S)

    @property
    def results(self) -> Mapping[str, object]:
        """What the nodes gave that the last message reached, by their ids."""
        return self._seen.results

    async def play(self, message: Numbered) -> Outcome | None:
        """What the pipeline makes of a message; None if it does not begin a run of it."""
        recorded = message.recorded
        if not any(matches(self._plan.filters[root], recorded.topic) for root in self._plan.roots):
            return None
        fed = FedMessage(recorded.topic, recorded.message)
        self._seen.forget(fed)
        self._published = []
        began = self._last_at = perf_counter()
        self._broker.feed(fed)
        await self._until_done(fed, message.number)
        return self._outcome(message, (self._last_at - began) * 1000)

    async def _until_done(self, fed: FedMessage, number: int) -> None:
        while not (self._seen.run_ended or fed.acknowledged):
            self._changed.clear()
            if self._waits.open:
                await self._reply(self._waits.open[0], number)
            else:
                await self._changed.wait()
        await _settle()  # what a node began of itself, such as a window's rows
        if self._engine.stopped:  # as on_error says; the next message is tried all the same
            self._engine.backlog.take(1)
            self._engine.stopped = ""

    async def _reply(self, wait: Wait, number: int) -> None:
        """Feed a waiting node the recording's messages until one is taken."""
        replies = self._replies[wait.node]
        for at in range(bisect_right(replies, number, key=lambda one: one.number), len(replies)):
            recorded = replies[at].recorded
            self._broker.feed(FedMessage(recorded.topic, recorded.message, qos=0))
            await _settle()
            if wait.over:
                del replies[at]
                return
        topic_filter = self._plan.filters[wait.node]
        wait.give_up(f"there is no later message on {topic_filter!r} that it could wait for")
        await _settle()

    def _note(self, publication: Publication) -> None:
        self._published.append(publication)
        self._last_at = perf_counter()

    def _outcome(self, message: Numbered, latency_ms: float) -> Outcome:
        letters = [one for one in self._published if one.topic == self._plan.dead_letters]
        failures = [self._seen.failure, *(_failure(one) for one in letters)]
        return Outcome(
            number=message.number,
            topic=message.recorded.topic,
            answers=tuple(Answer.of(one.topic, one.payload) for one in self._published if one not in letters),
            failure=next((failure for failure in failures if failure), None),
            latency_ms=latency_ms,
        )


async def _settle() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)


def _failure(letter: Publication) -> Failure | None:
    """What a dead letter says: no node need have failed, for there is a node type that writes some."""
    try:
        read = DeadLetter.model_validate_json(letter.payload)
    except ValidationError:
        return None
    return Failure(node=read.node, reason=read.error)
