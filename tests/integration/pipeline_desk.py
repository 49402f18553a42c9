"""What the pipeline tests share: a pipeline whose answers tell who answered, a device, and ways to wait."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from edge_agent.serving.pipelines import PipelineSupervisor
from edge_agent.shelf.ready import ReadyModel, ReadyPipeline
from schemas.broker import BrokerAddress
from schemas.pipelines import NodeSpec, PipelineSpec
from schemas.report import PipelineState, PipelineStatus
from tests import onnx_graphs
from transport.mqtt import Link, connect

Written = dict[str, object]

IN: Written = {"id": "in", "type": "mqtt_sub", "topic": "t/in"}
PREDICT: Written = {"id": "predict", "type": "model", "model": "m", "features": ["n", "one"], "inputs": ["in"]}
SCORING: tuple[Written, ...] = (
    IN,
    PREDICT,
    {"id": "out", "type": "mqtt_pub", "topic": "t/out", "inputs": ["predict"]},
)
"""Answers {"n": 5, "one": 1} with [[5 × version, version]]: who answered what."""


def spec_of(nodes: Sequence[Written], name: str = "p", **more: Any) -> PipelineSpec:
    """A pipeline of these nodes."""
    return PipelineSpec(name=name, nodes=tuple(NodeSpec.model_validate(node) for node in nodes), **more)


def question(number: int) -> bytes:
    """What a device asks."""
    return orjson.dumps({"n": number, "one": 1})


def library(folder: Path, name: str, source: str) -> dict[str, Path]:
    """A library with this source."""
    path = folder / f"{name}.py"
    path.write_text(source)
    return {name: path}


def scoring(
    folder: Path,
    version: int,
    *,
    name: str = "p",
    nodes: Sequence[Written] = SCORING,
    libraries: Mapping[str, Path] | None = None,
    **more: Any,
) -> ReadyPipeline:
    """The pipeline with its model's version of that number; the pipeline's own version stays 1."""
    path = folder / f"m{version}.onnx"
    if not path.exists():
        onnx_graphs.times(path, float(version))
    return ReadyPipeline(name, 1, spec_of(nodes, name, **more), {"m": ReadyModel("m", version, path)}, libraries or {})


class Desk:
    """A supervisor whose statuses can be waited for."""

    def __init__(self, broker: BrokerAddress, sessions_file: Path | None = None) -> None:
        self._changed = asyncio.Event()
        self.supervisor = PipelineSupervisor("press-1", broker, self._changed.set, sessions_file=sessions_file)

    async def until(self, reached: Callable[[PipelineStatus], bool], name: str = "p") -> PipelineStatus:
        """The first status for which ``reached`` holds; counters are looked at too."""
        async with asyncio.timeout(30):
            while True:
                for status in self.supervisor.statuses():
                    if status.name == name and reached(status):
                        return status
                self._changed.clear()
                try:
                    async with asyncio.timeout(0.2):  # counters change without a call
                        await self._changed.wait()
                except TimeoutError:
                    continue

    async def serving(self, version: int = 1, name: str = "p") -> PipelineStatus:
        """The status once this version of the model answers."""
        return await self.until(
            lambda status: status.state is PipelineState.LISTENING and status.models.get("m", version) == version, name
        )


@asynccontextmanager
async def desk(broker: BrokerAddress, sessions_file: Path | None = None) -> AsyncIterator[Desk]:
    """A supervisor for the length of the block."""
    made = Desk(broker, sessions_file)
    try:
        yield made
    finally:
        await made.supervisor.close()


class Device:
    """Asks, and takes what comes at once: messages that wait unacknowledged would hold up the others."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self._taken: dict[str, asyncio.Queue[bytes]] = {}

    async def ask(self, *payloads: bytes, topic: str = "t/in") -> None:
        """Publish; returns when the broker has them."""
        await asyncio.gather(*(self.link.publish(topic, payload) for payload in payloads))

    async def next(self, topic: str = "t/out", patience_s: float = 20.0) -> Any:
        """The next message on a topic that is listened to."""
        async with asyncio.timeout(patience_s):
            return orjson.loads(await self._taken[topic].get())

    async def listen(self, topic: str, tasks: asyncio.TaskGroup) -> asyncio.Task[None]:
        """Take everything that comes on a topic from now on."""
        taken = self._taken[topic] = asyncio.Queue()
        subscription = await self.link.subscribe(topic)

        async def take() -> None:
            async for message in subscription:
                taken.put_nowait(message.payload)

        return tasks.create_task(take(), name=f"take {topic}")


LETTERS = "p/dead_letters"


@asynccontextmanager
async def device(broker: BrokerAddress, *topics: str) -> AsyncIterator[Device]:
    """A device that listens to answers, to dead letters and to these, for the length of the block."""
    async with connect(broker, "device") as link, asyncio.TaskGroup() as tasks:
        person = Device(link)
        listening = [await person.listen(topic, tasks) for topic in ("t/out", LETTERS, *topics)]
        yield person
        for task in listening:
            task.cancel()
