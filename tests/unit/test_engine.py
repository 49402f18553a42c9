"""How messages go through a pipeline, compared with a resolver that is slow and obvious."""

import asyncio
import gc
import math
import weakref
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_runtime.broker import Publication, Told
from pipeline_runtime.node_type import SKIPPED, BatchNode, Branches, Fittings, Node, NodeParams, NodeType
from pipeline_runtime.running.run import Run
from pipeline_runtime.running.statistics import WayStatistics
from pipeline_runtime.running.turns import Order, Turns
from schemas.errors import BadInput, BadPayload
from tests import onnx_graphs
from tests.unit.engine_desk import Desk, Written, desk, until, until_acknowledged


class WorkParams(NodeParams):
    """How a node of these tests behaves."""

    rounds: int = 0  # how often it lets others go first; 0: it does not wait at all
    fails: int = 0  # how many of its first calls fail
    odd: str = "keep"  # what it does with whole numbers that are odd: keep or skip
    opens: bool = True


class Work(Node):
    """Gives its id and what it was given, and counts how often it was asked."""

    def __init__(self, params: WorkParams, fittings: Fittings, asked: Counter[str]) -> None:
        self._params, self._id, self._asked = params, fittings.node, asked

    async def open(self) -> None:
        """Note it."""
        if not self._params.opens:
            raise BadInput("it is locked")
        self._asked[f"open {self._id}"] += 1

    async def close(self) -> None:
        """Note it."""
        self._asked[f"close {self._id}"] += 1

    def resolve(self, value: object, _run: Run, /) -> object | Awaitable[object]:
        """The result, now or later."""
        self._asked[self._id] += 1
        return self._later(value) if self._params.rounds else self._result(value)

    async def _later(self, value: object) -> object:
        for _ in range(self._params.rounds):
            await asyncio.sleep(0)
        return self._result(value)

    def _result(self, value: object) -> object:
        if self._asked[self._id] <= self._params.fails:
            raise ZeroDivisionError("on purpose")
        if self._params.odd == "skip" and isinstance(value, int) and value % 2:
            return SKIPPED
        return {self._id: value}


def work_type(asked: Counter[str]) -> NodeType[WorkParams]:
    """The type of these nodes."""
    return NodeType(
        "work", WorkParams, lambda params, fittings: Work(params, fittings, asked), doc="", example="", may_skip=True
    )


class ForkParams(NodeParams):
    """None."""


class Fork(Node):
    """Even numbers go one way, odd ones the other."""

    def __init__(self, params: ForkParams, fittings: Fittings) -> None:
        self._made_of = params, fittings

    def resolve(self, value: object, _run: Run, /) -> object:
        """One branch or the other."""
        return Branches({"odd" if isinstance(value, int) and value % 2 else "even": value})


class Eager(Node):
    """Async, though there is nothing to wait for."""

    def __init__(self, params: ForkParams, fittings: Fittings) -> None:
        self._made_of = params, fittings

    async def resolve(self, value: object, _run: Run, /) -> object:
        """The input, in a task of its own."""
        assert asyncio.current_task() is not None
        return value


FORK = NodeType("fork", ForkParams, Fork, doc="", example="", may_skip=True, branches=lambda _: ("even", "odd"))
IN: Written = {"id": "n0", "type": "mqtt_sub", "topic": "t/in"}


def work(node: str, *inputs: str, **params: object) -> Written:
    """A node of the tests' own type."""
    return {"id": node, "type": "work", "inputs": list(inputs), "join": "all", **params}


def pub(*inputs: str, **params: object) -> Written:
    """A node that publishes on t/out."""
    return {"id": "out", "type": "mqtt_pub", "topic": "t/out", "inputs": list(inputs), **params}


def obvious(node: str, nodes: Mapping[str, Written], value: object) -> object:
    """A node's result, by asking its parents again and again."""
    written = nodes[node]
    inputs = written.get("inputs")
    if not isinstance(inputs, list):
        return value
    given_by = {parent: obvious(parent, nodes, value) for parent in inputs}
    there = {parent: result for parent, result in given_by.items() if result is not SKIPPED}
    if not there or (len(there) < len(given_by) and written["join"] == "all"):
        return SKIPPED
    given = there[inputs[0]] if len(inputs) == 1 else there
    if written["odd"] == "skip" and isinstance(given, int) and given % 2:
        return SKIPPED
    return {node: given}


@st.composite
def graphs(draw: st.DrawFn) -> list[Written]:
    """A root and up to nine nodes behind it, in any order, some of which wait, and some of which skip."""
    count = draw(st.integers(2, 10))
    nodes: list[Written] = [IN]
    for number in range(1, count):
        parents = draw(st.lists(st.integers(0, number - 1), min_size=1, max_size=3, unique=True))
        node = work(f"n{number}", *(f"n{parent}" for parent in parents), rounds=draw(st.integers(0, 3)))
        nodes.append(
            node | {"join": draw(st.sampled_from(["all", "any"])), "odd": draw(st.sampled_from(["keep", "skip"]))}
        )
    return list(draw(st.permutations(nodes)))


@given(nodes=graphs(), value=st.integers(-9, 9) | st.lists(st.none(), max_size=2))
@settings(max_examples=150)
def test_every_graph_gives_what_an_obvious_resolver_gives(nodes: list[Written], value: object) -> None:
    """Whatever the graph, whoever waits, whoever skips: every result is right, and no node is asked twice."""
    asked: Counter[str] = Counter()

    async def results() -> dict[str, str]:
        async with desk(nodes, work_type(asked)) as on:
            await on.answered(value)
            return on.results

    by_id = {str(node["id"]): node for node in nodes}
    wanted = {node: obvious(node, by_id, value) for node in by_id}
    shown = {node: "skipped" if result is SKIPPED else orjson.dumps(result).decode() for node, result in wanted.items()}
    assert asyncio.run(results()) == shown
    assert all(asked[node] <= 1 for node in by_id)
    assert all(asked[node] == 1 for node in by_id if node != "n0" and wanted[node] is not SKIPPED)


async def test_siblings_wait_at_the_same_time() -> None:
    """The two sides of a diamond overlap, and what is behind both runs once."""
    asked: Counter[str] = Counter()
    sides = [work(side, "n0", rounds=3) for side in ("left", "right")]
    async with desk([IN, *sides, work("end", "left", "right")], work_type(asked)) as on:
        letter = on.hand_in(1)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (asked["left"], asked["right"], asked["end"]) == (1, 1, 0)  # both were asked before either has answered
        await until_acknowledged([letter])
        assert orjson.loads(on.results["end"]) == {"end": {"left": {"left": 1}, "right": {"right": 1}}}
        assert asked["end"] == 1


async def test_a_coroutine_that_need_not_wait_takes_no_turn_of_the_loop() -> None:
    """Its answer is published in the turn in which its message was begun, as that of a plain function."""
    eager = NodeType("eager", ForkParams, Eager, doc="", example="")
    async with desk([IN, {"id": "e", "type": "eager", "inputs": ["n0"]}, pub("e")], eager) as on:
        letter = on.hand_in(1)
        await asyncio.sleep(0)
        assert on.bodies() == [1]
        await until_acknowledged([letter])


@pytest.mark.parametrize("rounds", [0, 2])
async def test_a_failing_node_is_named_and_ends_its_run(rounds: int) -> None:
    """The dead letter says which node and why; whatever else was waiting is let go."""
    nodes = [IN, work("slow", "n0", rounds=1000), work("bad", "n0", rounds=rounds, fails=9)]
    async with desk(nodes, work_type(Counter())) as on:
        await on.answered(1)
        assert on.letters() == [("bad", "ZeroDivisionError: on purpose")]
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("payload", [b"", b"{", b"NaN", b'{"a": Infinity}', b"\xff\xfe", b"[" * 5000])
async def test_a_malformed_message_fails_at_its_root(payload: bytes) -> None:
    """What is no JSON never reaches a node (defect 33)."""
    asked: Counter[str] = Counter()
    async with desk([IN, work("a", "n0")], work_type(asked)) as on:
        await on.answered(payload)
        assert [node for node, _ in on.letters()] == ["n0"]
        assert not asked["a"]


@pytest.mark.parametrize("rounds", [0, 2])
@pytest.mark.parametrize("fails", [2, 3])
async def test_a_node_is_asked_again_as_often_as_it_says(fails: int, rounds: int) -> None:
    """With ``retry: 2`` the third time counts; what it gave then is its result, or the message is given up."""
    policy = {"retry": 2, "backoff": 0.001}
    nodes = [IN, work("a", "n0", fails=fails, rounds=rounds, on_error=policy), pub("a")]
    asked: Counter[str] = Counter()
    async with desk(nodes, work_type(asked)) as on:
        await on.answered(1)
        assert asked["a"] == 3
        assert on.bodies() == ([{"a": 1}] if fails == 2 else [])
        assert len(on.letters()) == (0 if fails == 2 else 1)


async def test_a_pipeline_that_stops_at_an_error_keeps_the_message() -> None:
    """With ``then: stop`` nothing more is begun or acknowledged; the next version begins with that very message."""
    nodes = [IN, work("a", "n0", fails=1), pub("a")]
    asked: Counter[str] = Counter()
    async with desk(nodes, work_type(asked), on_error={"then": "stop"}) as on:
        letters = [on.hand_in(number) for number in (1, 2)]
        await asyncio.sleep(0)
        assert on.engine.stopped == "stopped, as its on_error says: a: ZeroDivisionError: on purpose"
        later = on.hand_in(3)
        await asyncio.sleep(0)
        assert not later.acknowledged.is_set()
        await on.load(nodes, work_type(asked), version=2)
        await until_acknowledged([*letters, later])
        assert on.bodies() == [{"a": 1}, {"a": 2}, {"a": 3}]
        assert on.letters() == []


@pytest.mark.parametrize("order_by", [None, "key"])
async def test_a_pipeline_that_stops_lets_nothing_pass_the_message_it_keeps(order_by: str | None) -> None:
    """What waits behind it for its turn waits on, and so does what waits for a node; other keys have gone ahead."""
    root = IN | {"order_by": order_by}
    failing: list[Written] = [
        root,
        {"id": "a", "type": "transform", "expression": "{'n': n, 'share': 1 / n}", "inputs": ["n0"]},
        pub("a"),
    ]
    mended: list[Written] = [
        root,
        {"id": "a", "type": "transform", "expression": "{'n': n}", "inputs": ["n0"]},
        pub("a"),
    ]
    async with desk(failing, on_error={"retry": 1, "backoff": 0.01, "then": "stop"}) as on:
        letters = [on.hand_in({"key": number % 2, "n": number}) for number in range(5)]
        await until(lambda: bool(on.engine.stopped))
        await asyncio.sleep(0)
        ahead = [1, 3] if order_by else []
        assert [body["n"] for body in on.bodies() if isinstance(body, dict)] == ahead
        await on.load(mended, version=2)
        await until_acknowledged(letters)
        numbers = [body["n"] for body in on.bodies() if isinstance(body, dict)]
        assert numbers == [*ahead, *(number for number in range(5) if number not in ahead)]
        assert on.letters() == []


async def test_a_publication_that_cannot_be_made_costs_its_message_alone() -> None:
    """Whatever the broker's client raises: the run ends, and the next ones go on."""

    class Picky(Desk):
        def publish(self, publication: Publication, told: Told) -> None:
            if publication.topic == "t/out" and publication.payload == b"1":
                raise ValueError("not this one")
            super().publish(publication, told)

    on = Picky()
    await on.load([IN, pub("n0")])
    for number in (1, 2):
        await on.answered(number)
    assert on.bodies() == [2]
    assert on.letters() == [("out", "ValueError: not this one")]
    await on.engine.drain(10)


@pytest.mark.parametrize("overflow", ["block", "drop_oldest", "drop_newest"])
@pytest.mark.parametrize("size", [0, 2])
async def test_messages_for_which_there_is_room_wait_for_nobody(overflow: str, size: int) -> None:
    """Only those behind them count as waiting: a burst as large as both together is answered whole."""
    queue = {"in_flight": 3, "size": size, "overflow": overflow}
    async with desk([IN, pub("n0")], queue=queue) as on:
        await until_acknowledged([on.hand_in(number) for number in range(3 + size)])
        assert on.bodies() == list(range(3 + size))
        assert on.engine.backlog.dropped == 0


async def test_a_branch_that_is_not_taken_is_skipped() -> None:
    """What is behind it does not run, and a join with ``any`` gets what is there."""
    nodes: list[Written] = [
        IN,
        {"id": "way", "type": "fork", "inputs": ["n0"]},
        work("left", "way.even"),
        work("right", "way.odd"),
        work("end", "left", "right") | {"join": "any"},
    ]
    async with desk(nodes, FORK, work_type(Counter())) as on:
        await on.answered(3)
        assert (on.results["left"], orjson.loads(on.results["end"])) == ("skipped", {"end": {"right": {"right": 3}}})


WAITING: list[Written] = [
    IN,
    {"id": "reply", "type": "mqtt_sub", "topic": "t/reply", "timeout_s": 0.05, "inputs": ["n0"]},
    work("aside", "n0"),
    work("end", "n0", "reply"),
    pub("reply"),
]


async def test_only_what_is_behind_a_waiting_node_waits() -> None:
    """A mqtt_sub in the middle holds up its descendants and nobody else; its message is its result."""
    asked: Counter[str] = Counter()
    async with desk(WAITING, work_type(asked)) as on:
        letter = on.hand_in(1)
        await asyncio.sleep(0)
        assert (asked["aside"], asked["end"]) == (1, 0)
        on.hand_in("yes", "t/reply")
        await until_acknowledged([letter])
        assert orjson.loads(on.results["end"]) == {"end": {"n0": 1, "reply": "yes"}}


async def test_each_waiting_run_gets_a_message_of_its_own() -> None:
    """Messages answer runs in the order in which these began to wait; one for which nobody waits is dropped.

    (defect 34)
    """
    async with desk(WAITING, work_type(Counter())) as on:
        on.hand_in("too early", "t/reply")
        letters = [on.hand_in(number) for number in range(3)]
        await asyncio.sleep(0)
        for text in ("a", "b", "c"):
            on.hand_in(text, "t/reply")
        await until_acknowledged(letters)
        assert on.bodies() == ["a", "b", "c"]


async def test_a_reply_finds_its_question() -> None:
    """With a correlation key a reply goes to the run that asked, whichever has waited longest."""
    reply: Written = {
        "id": "reply",
        "type": "mqtt_sub",
        "topic": "t/reply/{id}",
        "correlate": "id",
        "correlate_with": "number",
        "inputs": ["n0"],
    }
    async with desk([IN, reply, pub("n0", "reply", ordered=False)]) as on:
        letters = [on.hand_in({"number": str(number)}) for number in range(3)]
        await asyncio.sleep(0)
        for number in (2, 7, 0, 1):
            on.hand_in(f"to {number}", f"t/reply/{number}")
        await until_acknowledged(letters)
        answers = sorted(on.bodies(), key=str)
        assert answers == [{"n0": {"number": number}, "reply": f"to {number}"} for number in ("0", "1", "2")]


async def test_a_run_that_waited_in_vain_leaves_nothing_behind() -> None:
    """After its timeout it takes no message away from the next one (defect 35)."""
    async with desk(WAITING, work_type(Counter())) as on:
        await on.answered(1)
        assert on.letters() == [("reply", "no message came within 0.05 s")]
        second = on.hand_in(2)
        await asyncio.sleep(0)
        on.hand_in("mine", "t/reply")
        await until_acknowledged([second])
        assert on.bodies() == ["mine"]


@given(
    rounds=st.lists(st.integers(0, 4), min_size=2, max_size=12),
    keys=st.lists(st.integers(0, 2), min_size=12, max_size=12),
)
@settings(max_examples=60)
def test_answers_keep_the_order_that_was_asked_for(rounds: list[int], keys: list[int]) -> None:
    """By default all of them leave in the order of their messages; with ``order_by``, those of each key do."""

    class SlowParams(NodeParams):
        pass

    class Slow(Node):
        def __init__(self, params: SlowParams, fittings: Fittings) -> None:
            self._made_of = params, fittings

        def resolve(self, value: object, _run: Run, /) -> object:
            assert isinstance(value, dict)
            return self._wait(value) if value["rounds"] else value

        async def _wait(self, value: dict[str, int]) -> object:
            for _ in range(value["rounds"]):
                await asyncio.sleep(0)
            return value

    slow = NodeType("slow", SlowParams, Slow, doc="", example="")
    values = [{"n": n, "rounds": waits, "key": keys[n]} for n, waits in enumerate(rounds)]

    async def answers(**root: str) -> list[object]:
        nodes: list[Written] = [IN | root, {"id": "slow", "type": "slow", "inputs": ["n0"]}, pub("slow")]
        async with desk(nodes, slow) as on:
            await until_acknowledged([on.hand_in(value) for value in values])
            return on.bodies()

    assert asyncio.run(answers()) == values
    by_key = asyncio.run(answers(order_by="key"))
    for key in set(keys):
        assert [one for one in by_key if isinstance(one, dict) and one["key"] == key] == [
            one for one in values if one["key"] == key
        ]


async def test_levels_of_the_topic_are_values() -> None:
    """``{line}`` in a filter names a level; an answer's topic may use it, and fields of the answer."""
    root: Written = {"id": "n0", "type": "mqtt_sub", "topic": "factory/{line}/+/{sensor}"}
    nodes: list[Written] = [root, pub("n0") | {"topic": "scores/{line}-{unit}/{sensor}"}]
    async with desk(nodes) as on:
        await on.answered({"unit": 7}, "factory/a/x/t1")
        await on.answered({"unit": "a/b"}, "factory/a/x/t1")
        assert [one.topic for one in on.published] == ["scores/a-7/t1", "p/dead_letters"]
        assert "{unit} is 'a/b', which cannot be a level of the topic" in str(on.letters())


@pytest.mark.parametrize(
    ("unit", "told"),
    [
        (3.5, "{unit} is 3.5; a level of a topic is a text or a whole number"),
        (True, "{unit} is true; a level"),
        ("", "{unit} is '', which cannot be"),
        ("a\nb", "{unit} is 'a\\nb', which cannot be"),
        ("\x85", "cannot be a level"),
        ("\uffff", "cannot be a level"),
        ("\U0001fffe", "cannot be a level"),
        ("x" * 70_000, "(70000 characters) is too long: a topic has at most 65535 bytes"),
        ("$SYS", "only it publishes on topics that begin with $"),
        ("tidemill", "topics under tidemill/ are not for user data"),
    ],
)
async def test_a_value_that_would_break_the_connection_is_no_level(unit: object, told: str) -> None:
    """A broker closes the connection on such a topic, again and again: the message becomes a dead letter instead."""
    async with desk([IN, pub("n0") | {"topic": "{unit}"}]) as on:
        await on.answered({"unit": unit})
        await on.answered({"unit": "fine"})
        await on.answered({})
        assert [one.topic for one in on.published] == ["p/dead_letters", "fine", "p/dead_letters"]
        (_, first), (_, last) = on.letters()
        assert told in str(first)
        assert last == "{unit} in the topic is neither a level of the message's topic nor a field of the input"


async def test_what_is_dropped_is_counted() -> None:
    """A full backlog drops by its policy, acknowledges what it drops, and blocks nobody."""
    for overflow, left in (("drop_oldest", ["c", "d"]), ("drop_newest", ["a", "b"])):
        queue = {"in_flight": 1, "size": 2, "overflow": overflow}
        async with desk([IN, work("a", "n0", rounds=9), pub("n0")], work_type(Counter()), queue=queue) as on:
            first = on.hand_in("first")
            await asyncio.sleep(0)  # it has begun
            letters = [on.hand_in(text) for text in ("a", "b", "c", "d")]
            await until_acknowledged([first, *letters])
            assert on.bodies() == ["first", *left]
            assert on.engine.backlog.dropped == 2


async def test_a_repeated_message_takes_the_place_of_the_one_that_waits() -> None:
    """After a reconnection the broker sends again what lies here: it is answered once."""
    async with desk([IN, work("a", "n0", rounds=3), pub("n0")], work_type(Counter()), queue={"in_flight": 1}) as on:
        first, lost = on.hand_in("first"), on.hand_in("second")
        await asyncio.sleep(0)
        again = on.hand_in("second", dup=True)
        await until_acknowledged([first, again])
        assert on.bodies() == ["first", "second"]
        assert not lost.acknowledged.is_set()  # its connection is gone


async def test_repeated_messages_that_say_the_same_take_each_its_own_place() -> None:
    """By their packet ids."""
    async with desk([IN, work("a", "n0", rounds=3), pub("n0")], work_type(Counter()), queue={"in_flight": 1}) as on:
        first, *lost = [on.hand_in("same", packet_id=number) for number in range(1, 4)]
        await asyncio.sleep(0)
        again = [on.hand_in("same", packet_id=number, dup=True) for number in (2, 3)]
        await until_acknowledged([first, *again])
        assert on.bodies() == ["same"] * 3
        assert not any(letter.acknowledged.is_set() for letter in lost)


async def test_nodes_are_opened_before_and_closed_after_their_messages() -> None:
    """A swap opens the new nodes first, and closes the old ones when the last run that uses them has ended."""
    asked: Counter[str] = Counter()
    async with desk([IN, work("a", "n0", rounds=5)], work_type(asked)) as on:
        letter = on.hand_in(1)
        await asyncio.sleep(0)
        await on.load([IN, work("b", "n0")], work_type(asked), version=2)
        assert (asked["open a"], asked["open b"], asked["close a"]) == (1, 1, 0)
        await until_acknowledged([letter])
        await on.answered(2)
        assert (asked["close a"], asked["b"]) == (1, 1)
        with pytest.raises(BadInput, match="node 'c': it is locked"):
            await on.load([IN, work("b", "n0"), work("c", "n0", opens=False)], work_type(asked), version=3)
        await on.answered(3)
        assert asked["b"] == 2
        assert asked["open b"] == asked["close b"] + 1  # the one that goes on answering
    assert asked["open b"] == asked["close b"]


class Notes(Node):
    """Keeps its state in a file, which nobody else may have open."""

    def __init__(self, params: ForkParams, fittings: Fittings, opened: list[str]) -> None:
        assert fittings.state is not None
        self._made_of, self._folder, self._opened, self._seen = params, fittings.state, opened, 0

    async def open(self) -> None:
        """Read what the one before wrote."""
        assert not self._opened
        self._opened.append("")
        self._folder.mkdir(exist_ok=True)
        file = self._folder / "seen"
        self._seen = int(file.read_text()) if file.exists() else 0

    async def close(self) -> None:
        """Write it."""
        self._opened.clear()
        (self._folder / "seen").write_text(str(self._seen))

    def resolve(self, value: object, _run: Run, /) -> object:
        """How many messages there were before, in all versions."""
        self._seen += 1
        return [value, self._seen]


async def test_a_node_that_keeps_state_hands_it_over(tmp_path: Path) -> None:
    """The old one is closed before the new one is opened, and no message passes between; a failed swap undoes it."""
    opened: list[str] = []
    notes = NodeType(
        "notes", ForkParams, lambda params, made: Notes(params, made, opened), doc="", example="", keeps_state=True
    )
    nodes: list[Written] = [IN, {"id": "notes", "type": "notes", "inputs": ["n0"]}, pub("notes")]
    asked: Counter[str] = Counter()
    async with desk(nodes, notes, state=tmp_path) as on:
        letters = [on.hand_in(number) for number in range(5)]
        await on.load(nodes, notes, version=2, state=tmp_path)
        letters += [on.hand_in(number) for number in range(5, 8)]
        locked = [*nodes, work("c", "n0", opens=False)]
        with pytest.raises(BadInput, match="it is locked"):
            await on.load(locked, notes, work_type(asked), version=3, state=tmp_path)
        await until_acknowledged([*letters, on.hand_in(8)])
        assert on.bodies() == [[number, number + 1] for number in range(9)]


class Batch(BatchNode):
    """Answers several at once, but no sevens."""

    def __init__(self, params: ForkParams, fittings: Fittings, sizes: list[int]) -> None:
        self._made_of, self._sizes = (params, fittings), sizes

    def resolve(self, value: object, run: Run, /) -> object:
        """One alone."""
        (answer,) = self.resolve_many([value], [run])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def resolve_many(self, values: Sequence[object], _runs: Sequence[Run], /) -> Sequence[object]:
        """Now, later, or not at all."""
        self._sizes.append(len(values))
        return [self._answer(value) for value in values]

    def _answer(self, value: object) -> object:
        if value == 7:
            return BadPayload("no sevens")
        return asyncio.sleep(0, value) if isinstance(value, int) and value % 3 == 0 else value


@given(values=st.lists(st.integers(0, 9), min_size=1, max_size=30))
@settings(max_examples=60)
def test_what_comes_together_is_answered_together(values: list[int]) -> None:
    """One call for all that is there; each message gets its own answer or failure, in order."""
    sizes: list[int] = []
    batch = NodeType("batch", ForkParams, lambda params, made: Batch(params, made, sizes), doc="", example="")
    nodes: list[Written] = [IN, work("a", "n0"), {"id": "b", "type": "batch", "inputs": ["n0"]}]
    nodes.append(pub("a", "b") | {"join": "all"})

    async def answers() -> tuple[list[object], int]:
        async with desk(nodes, batch, work_type(Counter())) as on:
            await until_acknowledged([on.hand_in(value) for value in values])
            return on.bodies(), len(on.letters())

    bodies, failed = asyncio.run(answers())
    assert bodies == [{"a": {"a": value}, "b": value} for value in values if value != 7]
    assert failed == values.count(7)
    assert sizes == [len(values)]


async def test_a_model_that_was_swapped_out_is_let_go_at_once(tmp_path: Path) -> None:
    """Its memory is free when its last message has ended, though no garbage is collected."""
    first, second = (onnx_graphs.times(tmp_path / f"{factor}.onnx", factor) for factor in (1.0, 2.0))
    nodes: list[Written] = [IN, {"id": "m", "type": "model", "model": "m", "inputs": ["n0"]}, pub("m")]
    gc.disable()
    try:
        async with desk(nodes, models={"m": first}) as on:
            await on.answered([[1, 2]])
            assert on.engine.loaded is not None
            old = weakref.ref(on.engine.loaded.models["m"])
            await on.load(nodes, models={"m": second}, version=2)
            await on.answered([[1, 2]])
            assert old() is None
            assert on.bodies() == [[[1.0, 2.0]], [[2.0, 4.0]]]
    finally:
        gc.enable()


async def test_statistics_and_outcomes_are_kept() -> None:
    """Each node says how often it ran, failed and was skipped; the last messages can be looked at, newest first.

    Each has an outcome of its own (defect 34).
    """
    nodes = [IN, work("a", "n0", odd="skip"), work("b", "a")]
    async with desk(nodes, work_type(Counter())) as on:
        for value in (*range(30), b"{"):
            await on.answered(value)
        figures = on.engine.figures()
        assert (figures["n0"].ran, figures["n0"].failed) == (30, 1)
        assert (figures["a"].ran, figures["b"].ran, figures["b"].skipped) == (30, 15, 15)
        assert 0 < figures["a"].p50_s <= figures["a"].p99_s
        newest, *others = on.engine.outcomes.newest()
        assert (len(others), newest.failed_at, newest.payload) == (24, "n0", "{")
        assert [node.state for node in newest.nodes] == ["not run"] * 3
        assert [node.state for node in others[0].nodes] == ["done", "skipped", "skipped"]


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
    assert not turns.passes(fourth)
    order.end(first)
    assert turns.passes(fourth)


async def test_an_aborted_run_is_not_acknowledged() -> None:
    """What does not end in time when the worker ends is left to the broker to send again."""
    async with desk([IN, work("a", "n0", rounds=10**9)], work_type(Counter())) as on:
        letter = on.hand_in(1)
        await asyncio.sleep(0)
        await on.engine.drain(0.01)
        assert not letter.acknowledged.is_set()


async def test_each_loaded_pipeline_counts_the_messages_that_it_took() -> None:
    """A swap begins to count anew; a message in flight counts for the pipeline that it began with."""
    asked: Counter[str] = Counter()
    work: Written = {"id": "w", "type": "work", "inputs": ["in"]}
    root: Written = {"id": "in", "type": "mqtt_sub", "topic": "t/in"}
    async with desk([root, work | {"fails": 1}], work_type(asked)) as on:
        before = on.engine.loaded
        assert before is not None
        await until_acknowledged([on.hand_in(number) for number in range(5)])
        slow: Written = {"id": "in2", "type": "mqtt_sub", "topic": "t/slow", "inputs": ["w"]}
        await on.load([root, work, slow], work_type(asked))
        middle = on.engine.loaded
        letter = on.hand_in(1)
        await asyncio.sleep(0)  # it is begun with
        await on.load([root, work], work_type(asked))
        after = on.engine.loaded
        assert middle is not None
        assert after is not None
        assert before.since is not None
        assert after.since is not None
        await on.answered(7)
        assert not letter.acknowledged.is_set()
        assert (before.ways.answered, before.ways.failed) == (4, 1)
        assert (middle.runs, middle.ways.answered, after.ways.answered) == (1, 0, 1)
        assert before.since < after.since


@given(durations=st.lists(st.integers(8, 2**39 - 1), min_size=1, max_size=50), share=st.floats(0.01, 1))
def test_the_time_that_most_messages_take_is_told_to_a_quarter(durations: list[int], share: float) -> None:
    """Never less than it is, and at most a quarter more."""
    ways = WayStatistics()
    for duration in durations:
        ways.took(duration)
    true_s = sorted(durations)[max(math.ceil(share * len(durations)), 1) - 1] / 1e9
    told_s = ways.quantile_s(share)
    assert true_s <= told_s or math.isclose(true_s, told_s)
    assert told_s <= true_s * 1.2501


async def test_who_leaves_a_group_waits_for_what_the_broker_may_not_send_yet() -> None:
    """Its window is full while a run is under way: only what is acknowledged makes room for the rest."""
    async with desk([IN, work("slow", "n0", rounds=5), pub("slow")], work_type(Counter())) as table:
        given, held = [table.hand_in(0)], list(range(1, 10))

        async def flush() -> bool:
            if held and given[-1].acknowledged.is_set():
                given.append(table.hand_in(held.pop(0)))
            return True

        table.flush = flush  # type: ignore[method-assign]  # this broker has a window of one message
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # the first run is under way, and waits
        assert table.engine.counters.received == 1
        await table.engine.leave_groups()
        assert (held, len(table.bodies())) == ([], 10)
