"""What the engine takes for a message beyond its nodes: a diamond of seven, on a broker in memory.

    in ─▶ split ─▶ left, middle, right ─▶ join ─▶ out

The sum of the nodes is what the same nodes take one after the other in a bare loop that decodes, encodes and publishes
alike, but keeps no results, no order and no counters, and expects no errors. Both in turns, on one event loop.
"""

import asyncio
import gc
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from benchmarks.figures import Figure
from pipeline_runtime.broker import Publication
from pipeline_runtime.builtin import builtin_types
from pipeline_runtime.compiling.graph import compile as compile_graph
from pipeline_runtime.node_type import Node, NodeParams, NodeType, Registry
from pipeline_runtime.running.loading import load
from pipeline_runtime.running.run import Run
from pipeline_runtime.values.payloads import decode, encode
from schemas.pipelines import PipelineSpec
from tests.unit.engine_desk import Desk, Letter, Written, until_acknowledged

KINDS = {  # what the libraries are, and how many messages come in one piece where the goal in µs holds
    "waiting": ("import asyncio\nasync def exec(value):\n    await asyncio.sleep(0)\n    return value\n", 1, 60.0),
    "async": ("async def exec(value):\n    return value\n", 32, 3.0),
    "plain": ("def exec(value):\n    return value\n", 32, 3.0),
}
TOGETHER = 32  # messages that come in one piece
PAYLOAD = b'{"n": 7}'

Bare = Callable[[], Awaitable[None]]
"""One message through the nodes in a bare loop."""


class _Catch(Node):
    """Keeps a run, for calling nodes by hand."""

    def __init__(self, caught: list[Run]) -> None:
        self._caught = caught

    def resolve(self, value: object, run: Run, /) -> object:
        self._caught.append(run)
        return value


def measure(rounds: int) -> list[Figure]:
    """Each kind of library, with messages one by one and several in one piece."""
    return [figure for kind in KINDS for figure in asyncio.run(_measure_kind(kind, rounds))]


async def _measure_kind(kind: str, rounds: int) -> list[Figure]:
    source, goal_at, goal = KINDS[kind]
    with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as folder:
        path = Path(folder) / "library.py"
        path.write_text(source)
        desk, bare = await _built(path)
        nodes: list[float] = []
        over: dict[int, list[float]] = {1: [], TOGETHER: []}
        for number in range(rounds + 1):
            nodes_us = await _bare_us(bare)
            over_us = {together: await _engine_us(desk, together) - nodes_us for together in over}
            if number > 0:  # the first is to get warm
                nodes.append(nodes_us)
                for together, value in over_us.items():
                    over[together].append(value)
        await desk.engine.drain(10)
    return [Figure(f"{kind}: its nodes alone", tuple(nodes), "µs/message")] + [
        Figure(
            f"{kind}: over that, {together} at once", tuple(values), "µs/message", goal if together == goal_at else None
        )
        for together, values in over.items()
    ]


async def _built(library: Path) -> tuple[Desk, Bare]:
    desk = Desk()
    caught: list[Run] = []
    catching: NodeType[Any] = NodeType("catch", NodeParams, lambda _p, _f: _Catch(caught), doc="", example="")
    await _swap(desk, [*_nodes(), {"id": "caught", "type": "catch", "inputs": ["in"]}], library, catching)
    await desk.answered(PAYLOAD)
    await _swap(desk, _nodes(), library)
    assert desk.engine.loaded is not None
    nodes = {name: live.node for name, live in desk.engine.loaded.nodes.items()}
    return desk, _bare(nodes, caught[0], desk)


def _nodes() -> list[Written]:
    def library(name: str, *inputs: str) -> Written:
        return {"id": name, "type": "library", "library": "pipelib_same", "inputs": inputs}

    return [
        {"id": "in", "type": "mqtt_sub", "topic": "t/in"},
        library("split", "in"),
        *(library(side, "split") for side in ("left", "middle", "right")),
        library("join", "left", "middle", "right"),
        {"id": "out", "type": "mqtt_pub", "topic": "t/out", "inputs": ["join"]},
    ]


async def _swap(desk: Desk, nodes: list[Written], library: Path, *types: NodeType[Any]) -> None:
    plan = compile_graph(
        PipelineSpec.model_validate({"name": "p", "nodes": nodes}), Registry([*builtin_types(), *types])
    )
    await desk.engine.swap(load(plan, 1, models={}, libraries={"pipelib_same": library}, emit=desk.engine.emit))


def _bare(nodes: Mapping[str, Node], run: Run, desk: Desk) -> Bare:
    split, left, middle, right, join = (nodes[name] for name in ("split", "left", "middle", "right", "join"))

    async def resolved(node: Node, value: object) -> object:
        result = node.resolve(value, run)
        return await result if isinstance(result, Awaitable) else result

    async def answer() -> None:
        value = await resolved(split, decode(PAYLOAD))
        sides = {"left": await resolved(left, value), "middle": await resolved(middle, value)}
        sides["right"] = await resolved(right, value)
        desk.publish(Publication("t/out", encode(await resolved(join, sides))), lambda _: None)

    return answer


async def _bare_us(bare: Bare, messages: int = 640) -> float:
    began_ns = perf_counter_ns()
    for _ in range(messages):
        await bare()
    return (perf_counter_ns() - began_ns) / messages / 1e3


async def _engine_us(desk: Desk, together: int, messages: int = 640) -> float:
    took_ns = 0
    for _ in range(messages // together):
        letters = [Letter("t/in", PAYLOAD) for _ in range(together)]
        take = desk.takes["t/in"]
        began_ns = perf_counter_ns()
        for letter in letters:
            take(letter)
        await letters[-1].acknowledged.wait()
        took_ns += perf_counter_ns() - began_ns
        await until_acknowledged(letters)
    desk.published.clear()
    gc.collect()
    return took_ns / messages / 1e3
