"""An engine on a desk: messages are handed in by a test, and what it publishes lies in a list."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from pipeline_runtime.broker import Publication, Take, Told
from pipeline_runtime.builtin import builtin_types
from pipeline_runtime.compiling.graph import compile as compile_graph
from pipeline_runtime.node_type import NodeType, Registry
from pipeline_runtime.running.engine import Engine
from pipeline_runtime.running.loading import load
from schemas.pipelines import NodeSpec, PipelineSpec
from schemas.topics import matches

Written = dict[str, object]

PATIENCE_S = 10.0


@dataclass(eq=False)
class Letter:
    """A message that knows whether it was acknowledged."""

    topic: str
    payload: bytes
    qos: int = 1
    dup: bool = False
    packet_id: int = 0
    acknowledged: asyncio.Event = field(default_factory=asyncio.Event)

    def ack(self) -> None:
        """Note it."""
        self.acknowledged.set()


class Subscribed:
    """A filter of the desk's broker."""

    def __init__(self, takes: dict[str, Take], topic_filter: str) -> None:
        self._takes, self._filter = takes, topic_filter

    async def close(self) -> None:
        """Hand on nothing more."""
        del self._takes[self._filter]

    cease = close


class Desk:
    """A broker in memory, with an engine on it."""

    def __init__(self) -> None:
        self.published: list[Publication] = []
        self.takes: dict[str, Take] = {}
        self.engine = Engine(self)

    async def subscribe(self, topic_filter: str, qos: object, take: Take, *, group: str = "") -> Subscribed:
        """Granted at once."""
        assert (qos, group) in {(0, ""), (1, "")}
        self.takes[topic_filter] = take
        return Subscribed(self.takes, topic_filter)

    def publish(self, publication: Publication, told: Told) -> None:
        """It lies there at once, and is acknowledged in the next turn."""
        self.published.append(publication)
        asyncio.get_running_loop().call_soon(told, None)

    async def flush(self) -> bool:
        """Nothing is under way."""
        return True

    def hand_in(self, value: object, topic: str = "t/in", *, dup: bool = False, packet_id: int = 0) -> Letter:
        """A message comes; bytes are a payload as it is, anything else becomes JSON."""
        letter = Letter(topic, value if isinstance(value, bytes) else orjson.dumps(value), dup=dup, packet_id=packet_id)
        for topic_filter, take in list(self.takes.items()):
            if matches(topic_filter, topic):
                take(letter)
        return letter

    async def answered(self, value: object, topic: str = "t/in") -> Letter:
        """Hand a message in and wait until its run has ended."""
        letter = self.hand_in(value, topic)
        await until_acknowledged([letter])
        return letter

    def bodies(self, topic: str = "t/out") -> list[object]:
        """What was published there."""
        return [orjson.loads(publication.payload) for publication in self.published if publication.topic == topic]

    def letters(self) -> list[tuple[object, object]]:
        """Node and error of each dead letter."""
        bodies = [body for body in self.bodies("p/dead_letters") if isinstance(body, dict)]
        return [(body["node"], body["error"]) for body in bodies]

    @property
    def results(self) -> dict[str, str]:
        """What every node made of the last message that ended, as JSON; of skipped ones the word."""
        (outcome,) = self.engine.outcomes.newest(1)
        return {node.node: node.result if node.state == "done" else node.state for node in outcome.nodes}

    async def load(
        self,
        nodes: Iterable[Written],
        *types: NodeType[Any],
        version: int = 1,
        state: Path | None = None,
        models: Mapping[str, Path] | None = None,
        **more: Any,
    ) -> None:
        """Answer with this pipeline from now on."""
        spec = PipelineSpec.model_validate(
            {"name": "p", "nodes": [NodeSpec.model_validate(node) for node in nodes], **more}
        )
        plan = compile_graph(spec, Registry([*builtin_types(), *types]))
        before, emit = self.engine.loaded, self.engine.emit
        await self.engine.swap(
            load(plan, version, models=models or {}, libraries={}, before=before, state=state, emit=emit)
        )


async def until(true: Callable[[], bool]) -> None:
    """Wait for it."""
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110 - the desk has no event for it
            await asyncio.sleep(0.001)


async def until_acknowledged(letters: Iterable[Letter]) -> None:
    """Wait until the engine has done with all of them."""
    async with asyncio.timeout(PATIENCE_S):
        for letter in letters:
            await letter.acknowledged.wait()


@asynccontextmanager
async def desk(
    nodes: Iterable[Written], *types: NodeType[Any], state: Path | None = None, **more: Any
) -> AsyncIterator[Desk]:
    """A desk with a pipeline; at the end its engine is drained."""
    made = Desk()
    await made.load(nodes, *types, state=state, **more)
    yield made
    await made.engine.drain(PATIENCE_S)
