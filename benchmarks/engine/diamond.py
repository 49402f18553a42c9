"""What a graph costs: a diamond of seven nodes, on a broker in memory.

    in ─▶ split ─▶ left, middle, right ─▶ join ─▶ out

What each message costs whatever becomes of it - to be taken, put in its order, counted, published and acknowledged -
is what the shortest pipeline takes, ``in ─▶ out``. What the diamond takes beyond that and its five libraries called one
after the other is the graph's. *Beyond bare* is all that the engine takes beyond a bare loop that decodes, calls the
same nodes, encodes and publishes, but keeps no results, no order and no counters, and expects no errors. All in turns,
on one event loop.
"""

import asyncio
import gc
import tempfile
from collections.abc import Awaitable, Callable
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

KINDS = {  # what the libraries are, and what the graph may cost, in µs
    "waiting": ("import asyncio\nasync def exec(value):\n    await asyncio.sleep(0)\n    return value\n", 60.0),
    "async": ("async def exec(value):\n    return value\n", 3.0),
    "plain": ("def exec(value):\n    return value\n", 3.0),
}
TOGETHER = (1, 32)  # messages that come in one piece
PAYLOAD, DECODED = b'{"n": 7}', {"n": 7}
SHORTEST: list[Written] = [
    {"id": "in", "type": "mqtt_sub", "topic": "t/in"},
    {"id": "out", "type": "mqtt_pub", "topic": "t/out", "inputs": ["in"]},
]

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
    source, goal_us = KINDS[kind]
    with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as folder:
        path = Path(folder) / "library.py"
        path.write_text(source)
        diamond, shortest = await _loaded(_nodes(), path), await _loaded(SHORTEST, path)
        bare, libraries = await _bare(path)
        bare_us, libraries_us = list[float](), list[float]()
        beyond: dict[int, list[float]] = {together: [] for together in TOGETHER}
        graph: dict[int, list[float]] = {together: [] for together in TOGETHER}
        for number in range(rounds + 1):
            if number == 1:  # what came before was to get warm
                for values in (bare_us, libraries_us, *beyond.values(), *graph.values()):
                    values.clear()
            bare_us.append(await _bare_us(bare))
            libraries_us.append(await _bare_us(libraries))
            for together in TOGETHER:
                took_us = await _engine_us(diamond, together)
                beyond[together].append(took_us - bare_us[-1])
                graph[together].append(took_us - await _engine_us(shortest, together) - libraries_us[-1])
        await diamond.engine.drain(10)
        await shortest.engine.drain(10)
    unit = "µs/message"
    return [
        Figure(f"{kind}: a bare loop", tuple(bare_us), unit),
        Figure(f"{kind}: its libraries alone", tuple(libraries_us), unit),
        *(Figure(f"{kind}: the graph, {at} at once", tuple(graph[at]), unit, goal_us) for at in TOGETHER),
        *(Figure(f"{kind}: beyond bare, {at} at once", tuple(beyond[at]), unit) for at in TOGETHER),
    ]


async def _loaded(nodes: list[Written], library: Path, *types: NodeType[Any]) -> Desk:
    desk = Desk()
    plan = compile_graph(
        PipelineSpec.model_validate({"name": "p", "nodes": nodes}), Registry([*builtin_types(), *types])
    )
    await desk.engine.swap(load(plan, 1, models={}, libraries={"pipelib_same": library}, emit=desk.engine.emit))
    return desk


async def _bare(library: Path) -> tuple[Bare, Bare]:
    """One message through the nodes in a bare loop, and through the libraries alone."""
    caught: list[Run] = []
    catching: NodeType[Any] = NodeType("catch", NodeParams, lambda _p, _f: _Catch(caught), doc="", example="")
    desk = await _loaded([*_nodes(), {"id": "caught", "type": "catch", "inputs": ["in"]}], library, catching)
    await desk.answered(PAYLOAD)
    assert desk.engine.loaded is not None
    nodes, run = desk.engine.loaded.nodes, caught[0]
    split, left, middle, right, join = (nodes[name].node for name in ("split", "left", "middle", "right", "join"))

    async def resolved(node: Node, value: object) -> object:
        result = node.resolve(value, run)
        return await result if isinstance(result, Awaitable) else result

    async def through(value: object) -> object:
        value = await resolved(split, value)
        sides = {"left": await resolved(left, value), "middle": await resolved(middle, value)}
        sides["right"] = await resolved(right, value)
        return await resolved(join, sides)

    async def answer() -> None:
        desk.publish(Publication("t/out", encode(await through(decode(PAYLOAD)))), lambda _: None)

    async def libraries() -> None:
        await through(DECODED)

    return answer, libraries


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
