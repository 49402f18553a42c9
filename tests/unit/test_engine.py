"""How one message goes through a pipeline, compared with a resolver that is slow and obvious."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Mapping

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_runtime.broker import Publication, Subscription
from pipeline_runtime.graph import compile as compile_graph
from pipeline_runtime.inbox import Inbox
from pipeline_runtime.lane import Lane
from pipeline_runtime.loading import load
from pipeline_runtime.node_type import Fittings, Node, NodeParams, NodeType, Registry
from pipeline_runtime.nodes import mqtt_sub
from pipeline_runtime.run import NodeFailed, Run
from pipeline_runtime.turns import Order, Turns
from schemas.pipelines import NodeSpec, PipelineSpec
from transport.mqtt import Message

Written = dict[str, object]


class WorkParams(NodeParams):
    """How a node of these tests behaves."""

    rounds: int = 0  # how often it lets others go first; 0: it does not wait at all
    fails: bool = False


class Work(Node):
    """Gives its id and what it was given, and counts how often it was asked."""

    def __init__(self, params: WorkParams, fittings: Fittings, asked: Counter[str]) -> None:
        self._params, self._id, self._asked = params, fittings.node, asked

    def resolve(self, value: object, _run: Run, /) -> object | Awaitable[object]:
        """The result, now or later."""
        self._asked[self._id] += 1
        return self._later(value) if self._params.rounds else self._result(value)

    async def _later(self, value: object) -> object:
        for _ in range(self._params.rounds):
            await asyncio.sleep(0)
        return self._result(value)

    def _result(self, value: object) -> object:
        if self._params.fails:
            raise ZeroDivisionError("on purpose")
        return {self._id: value}


class NoBroker:
    """For pipelines that publish nothing."""

    async def subscribe(self, topic_filter: str, qos: object) -> Subscription:
        """Nobody asks for it."""
        raise AssertionError(topic_filter, qos)

    async def publish(self, publication: Publication) -> None:
        """Nobody asks for it."""
        raise AssertionError(publication)


def lane_of(nodes: list[Written], asked: Counter[str]) -> Lane:
    """The lane of the only root, whose id is ``n0``."""
    work = NodeType("work", WorkParams, lambda params, fittings: Work(params, fittings, asked), doc="", example="")
    spec = PipelineSpec(name="p", nodes=tuple(NodeSpec.model_validate(node) for node in nodes))
    plan = compile_graph(spec, Registry([mqtt_sub.NODE, work]))
    loaded = load(plan, 1, models={}, libraries={})
    return Lane(
        root="n0",
        steps=tuple(loaded.steps[step.id] for step in plan.routes["n0"]),
        order=Order(),
        inboxes={node: Inbox() for node in plan.filters if node != "n0"},
        pipeline="p",
        version=1,
        dead_letters=plan.dead_letters,
    )


async def results_of(lane: Lane, value: object) -> dict[str, object]:
    """What every node gave for one message."""
    run = Run(Message("t/in", orjson.dumps(value)), lane, NoBroker())
    async with asyncio.timeout(5):
        await run.finish()
    return run.results


def obvious(node: str, nodes: Mapping[str, Written], value: object) -> object:
    """A node's result, by asking its parents again and again."""
    inputs = nodes[node].get("inputs")
    if not isinstance(inputs, list):
        return value
    given_by = {parent: obvious(parent, nodes, value) for parent in inputs}
    return {node: given_by[inputs[0]] if len(inputs) == 1 else given_by}


@st.composite
def graphs(draw: st.DrawFn) -> list[Written]:
    """A root and up to nine nodes behind it, in any order, some of which wait."""
    count = draw(st.integers(2, 10))
    nodes: list[Written] = [{"id": "n0", "type": "mqtt_sub", "topic": "t/in"}]
    for number in range(1, count):
        parents = draw(st.lists(st.integers(0, number - 1), min_size=1, max_size=3, unique=True))
        rounds = draw(st.integers(0, 3))
        inputs = [f"n{parent}" for parent in parents]
        nodes.append({"id": f"n{number}", "type": "work", "rounds": rounds, "inputs": inputs})
    return list(draw(st.permutations(nodes)))


@given(nodes=graphs(), value=st.integers(-9, 9) | st.lists(st.none(), max_size=2))
@settings(max_examples=150)
def test_every_graph_gives_what_an_obvious_resolver_gives(nodes: list[Written], value: object) -> None:
    """Whatever the graph and whoever waits: every result is right, and every node is asked exactly once."""
    asked: Counter[str] = Counter()
    results = asyncio.run(results_of(lane_of(nodes, asked), value))
    by_id = {str(node["id"]): node for node in nodes}
    assert results == {node: obvious(node, by_id, value) for node in by_id}
    assert asked == Counter({node: 1 for node in by_id if node != "n0"})


async def test_siblings_wait_at_the_same_time() -> None:
    """The two sides of a diamond overlap, and what is behind both runs once."""
    asked: Counter[str] = Counter()
    sides: list[Written] = [{"id": side, "type": "work", "rounds": 3, "inputs": ["n0"]} for side in ("left", "right")]
    nodes: list[Written] = [
        {"id": "n0", "type": "mqtt_sub", "topic": "t/in"},
        *sides,
        {"id": "end", "type": "work", "inputs": ["left", "right"]},
    ]
    run = Run(Message("t/in", b"1"), lane_of(nodes, asked), NoBroker())
    finishing = asyncio.create_task(run.finish())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert asked == {"left": 1, "right": 1}  # both were asked before either has answered
    await finishing
    assert run.results["end"] == {"end": {"left": {"left": 1}, "right": {"right": 1}}}
    assert asked["end"] == 1


@pytest.mark.parametrize("rounds", [0, 2])
async def test_a_failing_node_is_named_and_ends_its_run(rounds: int) -> None:
    """The error says which node and why; whatever else was waiting is let go."""
    nodes: list[Written] = [
        {"id": "n0", "type": "mqtt_sub", "topic": "t/in"},
        {"id": "slow", "type": "work", "rounds": 1000, "inputs": ["n0"]},
        {"id": "bad", "type": "work", "rounds": rounds, "fails": True, "inputs": ["n0"]},
    ]
    run = Run(Message("t/in", b"1"), lane_of(nodes, Counter()), NoBroker())
    with pytest.raises(NodeFailed, match="bad: ZeroDivisionError: on purpose"):
        await run.finish()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("payload", [b"", b"{", b"NaN", b'{"a": Infinity}', b"\xff\xfe", b"[" * 5000])
async def test_a_malformed_message_fails_at_its_root(payload: bytes) -> None:
    """What is no JSON never reaches a node."""
    asked: Counter[str] = Counter()
    nodes: list[Written] = [
        {"id": "n0", "type": "mqtt_sub", "topic": "t/in"},
        {"id": "a", "type": "work", "inputs": ["n0"]},
    ]
    with pytest.raises(NodeFailed) as caught:
        await Run(Message("t/in", payload), lane_of(nodes, asked), NoBroker()).finish()
    assert caught.value.node == "n0"
    assert not asked


WAITING: list[Written] = [
    {"id": "n0", "type": "mqtt_sub", "topic": "t/in"},
    {"id": "reply", "type": "mqtt_sub", "topic": "t/reply", "timeout_s": 0.05, "inputs": ["n0"]},
    {"id": "aside", "type": "work", "inputs": ["n0"]},
    {"id": "end", "type": "work", "inputs": ["n0", "reply"]},
]


async def test_only_what_is_behind_a_waiting_node_waits() -> None:
    """A mqtt_sub in the middle holds up its descendants and nobody else; its message is its result."""
    asked: Counter[str] = Counter()
    lane = lane_of(WAITING, asked)
    run = Run(Message("t/in", b"1"), lane, NoBroker())
    finishing = asyncio.create_task(run.finish())
    await asyncio.sleep(0)
    assert asked == {"aside": 1}
    lane.inboxes["reply"].deliver(b'"yes"')
    await finishing
    assert run.results["end"] == {"end": {"n0": 1, "reply": "yes"}}


async def test_each_waiting_run_gets_a_message_of_its_own() -> None:
    """Messages answer runs in the order in which these began to wait; one for which nobody waits is dropped."""
    lane = lane_of(WAITING, Counter())
    lane.inboxes["reply"].deliver(b'"too early"')
    runs = [Run(Message("t/in", str(number).encode()), lane, NoBroker()) for number in range(3)]
    finishing = [asyncio.create_task(run.finish()) for run in runs]
    await asyncio.sleep(0)
    for text in (b'"a"', b'"b"', b'"c"'):
        lane.inboxes["reply"].deliver(text)
    await asyncio.gather(*finishing)
    assert [run.results["reply"] for run in runs] == ["a", "b", "c"]


async def test_a_run_that_waited_in_vain_leaves_nothing_behind() -> None:
    """After its timeout it takes no message away from the next one."""
    lane = lane_of(WAITING, Counter())
    with pytest.raises(NodeFailed, match=r"reply: no message came within 0\.05 s"):
        await Run(Message("t/in", b"1"), lane, NoBroker()).finish()
    second = Run(Message("t/in", b"2"), lane, NoBroker())
    finishing = asyncio.create_task(second.finish())
    await asyncio.sleep(0)
    lane.inboxes["reply"].deliver(b'"mine"')
    await finishing
    assert second.results["reply"] == "mine"


@given(order=st.permutations(range(8)), quitters=st.sets(st.integers(0, 7)))
def test_runs_pass_in_the_order_in_which_they_began(order: list[int], quitters: set[int]) -> None:
    """Whoever is ready first, runs pass by their numbers; those that end without passing hold up nobody."""

    async def passed() -> list[int]:
        turns, past = Turns(0, set()), []

        async def one(number: int) -> None:
            if number not in quitters:
                await turns.wait(number)
                past.append(number)
            turns.leave(number)

        async with asyncio.timeout(5):
            await asyncio.gather(*(one(number) for number in order))
        return past

    assert asyncio.run(passed()) == [number for number in range(8) if number not in quitters]


def test_a_node_that_appears_later_does_not_wait_for_runs_that_have_ended() -> None:
    """After a swap, the turns at a new node begin with the runs that are still on their way."""
    order = Order()
    first, second, third, fourth = (order.begin() for _ in range(4))
    order.end(second)
    order.end(third)
    turns = order.at("new")
    assert turns.is_first(first)
    assert not turns.is_first(fourth)
    order.end(first)
    assert turns.is_first(fourth)
