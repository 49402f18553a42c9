"""What a graph costs: a diamond of seven nodes, on a broker in memory.

    in ─▶ split ─▶ left, middle, right ─▶ join ─▶ out

What each message costs whatever becomes of it - to be taken, put in its order, counted, published and acknowledged - is
what the shortest pipeline takes, ``in ─▶ out``. What the diamond takes beyond that and its five libraries' nodes, each
called when the one before has answered, is the graph's. *Beyond bare* is all that the engine takes beyond a coroutine
that decodes, awaits the five functions with copies of what they are given, encodes and publishes: it keeps no results,
no order and no counters, knows no timeouts and expects no errors. All in turns, on one event loop.
"""

import asyncio
import gc
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from types import CoroutineType
from typing import Any

from benchmarks.figures import Figure
from pipeline_runtime.broker import Publication, Told
from pipeline_runtime.builtin import builtin_types
from pipeline_runtime.compiling.graph import compile as compile_graph
from pipeline_runtime.libraries.library_values import as_result, copied
from pipeline_runtime.node_type import Node, NodeParams, NodeType, Registry
from pipeline_runtime.running.loading import load
from pipeline_runtime.running.run import Run
from pipeline_runtime.values.payloads import decode, encode
from schemas.pipelines import PipelineSpec
from tests.unit.engine_desk import Desk, Letter, Written, until_acknowledged

KINDS = {  # what the libraries are, and what the graph may cost, in µs
    "waiting": ("import asyncio\nasync def exec(value):\n    await asyncio.sleep(0)\n    return {'n': 7}\n", 60.0),
    "async": ("async def exec(value):\n    return {'n': 7}\n", 3.0),
    "plain": ("def exec(value):\n    return {'n': 7}\n", 3.0),
}
TOGETHER = (1, 32)  # messages that come in one piece
PAYLOAD, DECODED = b'{"n": 7}', {"n": 7}


def _library(name: str, *inputs: str) -> Written:
    return {"id": name, "type": "library", "library": "pipelib_same", "inputs": inputs}


SHORTEST: list[Written] = [
    {"id": "in", "type": "mqtt_sub", "topic": "t/in"},
    {"id": "out", "type": "mqtt_pub", "topic": "t/out", "inputs": ["in"]},
]
DIAMOND: list[Written] = [
    {"id": "in", "type": "mqtt_sub", "topic": "t/in"},
    _library("split", "in"),
    *(_library(side, "split") for side in ("left", "middle", "right")),
    _library("join", "left", "middle", "right"),
    {"id": "out", "type": "mqtt_pub", "topic": "t/out", "inputs": ["join"]},
]

Nodes = tuple[Node, Node, Node, Node, Node]
Exec = Callable[[object], object]


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
        diamond, shortest = await loaded(DIAMOND, path), await loaded(SHORTEST, path)
        nodes, run = await called_by_hand(path)
        assert diamond.engine.loaded is not None
        exec_of: Exec = diamond.engine.loaded.libraries["pipelib_same"].exec
        bare_us, libraries_us = list[float](), list[float]()
        beyond: dict[int, list[float]] = {together: [] for together in TOGETHER}
        graph: dict[int, list[float]] = {together: [] for together in TOGETHER}
        for number in range(rounds + 1):
            if number == 1:  # what came before was to get warm
                for values in (bare_us, libraries_us, *beyond.values(), *graph.values()):
                    values.clear()
            bare_us.append(await _time_bare(exec_of, shortest.publish))
            libraries_us.append(await time_libraries(nodes, run))
            shortest.published.clear()
            for together in TOGETHER:
                took_us = await time_engine(diamond, together)
                beyond[together].append(took_us - bare_us[-1])
                graph[together].append(took_us - await time_engine(shortest, together) - libraries_us[-1])
        await diamond.engine.drain(10)
        await shortest.engine.drain(10)
    unit = "µs/message"
    return [
        Figure(f"{kind}: a bare loop", tuple(bare_us), unit),
        Figure(f"{kind}: its libraries alone", tuple(libraries_us), unit),
        *(Figure(f"{kind}: the graph, {at} at once", tuple(graph[at]), unit, goal_us) for at in TOGETHER),
        *(Figure(f"{kind}: beyond bare, {at} at once", tuple(beyond[at]), unit) for at in TOGETHER),
    ]


async def loaded(nodes: list[Written], library: Path, *types: NodeType[Any]) -> Desk:
    """A pipeline that is ready to answer."""
    desk = Desk()
    plan = compile_graph(
        PipelineSpec.model_validate({"name": "p", "nodes": nodes}), Registry([*builtin_types(), *types])
    )
    await desk.engine.swap(load(plan, 1, models={}, libraries={"pipelib_same": library}, emit=desk.engine.emit))
    return desk


async def called_by_hand(library: Path) -> tuple[Nodes, Run]:
    """The nodes of the libraries, and a run to call them with."""
    caught: list[Run] = []
    catching: NodeType[Any] = NodeType("catch", NodeParams, lambda _p, _f: _Catch(caught), doc="", example="")
    desk = await loaded([*DIAMOND, {"id": "caught", "type": "catch", "inputs": ["in"]}], library, catching)
    await desk.answered(PAYLOAD)
    assert desk.engine.loaded is not None
    nodes = desk.engine.loaded.nodes
    split, left, middle, right, join = (nodes[name].node for name in ("split", "left", "middle", "right", "join"))
    return (split, left, middle, right, join), caught[0]


async def _time_bare(exec_of: Exec, publish: Callable[[Publication, Told], None], messages: int = 640) -> float:
    async def called(value: object) -> object:
        result = exec_of(copied(value))
        return as_result(await result if isinstance(result, CoroutineType) else result)

    began_ns = perf_counter_ns()
    for _ in range(messages):
        value = await called(decode(PAYLOAD))
        sides = {"left": await called(value), "middle": await called(value), "right": await called(value)}
        publish(Publication("t/out", encode(await called(sides))), lambda _: None)
    return (perf_counter_ns() - began_ns) / messages / 1e3


async def time_libraries(nodes: Nodes, run: Run, messages: int = 640) -> float:
    """µs for five calls, made as the engine makes them: not in a task's name."""
    sides = {"left": DECODED, "middle": DECODED, "right": DECODED}
    calls = iter([(node, sides if node is nodes[-1] else DECODED) for node in nodes] * messages)
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def go_on(_: object = None) -> None:
        for node, value in calls:
            result = node.resolve(value, run)
            if isinstance(result, asyncio.Future):
                result.add_done_callback(go_on)
                return
        ended.set_result(None)

    began_ns = perf_counter_ns()
    asyncio.get_running_loop().call_soon(go_on)
    await ended
    return (perf_counter_ns() - began_ns) / messages / 1e3


async def time_engine(desk: Desk, together: int, messages: int = 640) -> float:
    """µs for a message, of messages that come so many at a time."""
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
