"""Pipelines fed with recorded messages, without a broker."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from pipeline_runtime.builtin import builtin_types
from pipeline_runtime.graph import compile as compile_graph
from pipeline_runtime.loading import Loaded, load
from schemas.pipelines import NodeSpec, PipelineSpec
from tidemill.replay.answers import Outcome
from tidemill.replay.player import Numbered, Player
from tidemill.replay.recording import Recorded

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
IN = {"id": "in", "type": "mqtt_sub", "topic": "t/in/#"}
LIBRARY = {"id": "x", "type": "library", "library": "pipelib_x", "inputs": ["in"]}
ASKING = (
    IN,
    {"id": "ask", "type": "mqtt_pub", "topic": "t/ask", "inputs": ["in"]},
    {"id": "reply", "type": "mqtt_sub", "topic": "t/reply", "inputs": ["ask"]},
    {"id": "out", "type": "mqtt_pub", "topic": "t/out", "inputs": ["in", "reply"]},
)


def loaded(nodes: Sequence[dict[str, object]], **libraries: Path) -> Loaded:
    """A pipeline of these nodes."""
    spec = PipelineSpec(name="p", nodes=tuple(NodeSpec.model_validate(node) for node in nodes))
    return load(compile_graph(spec, builtin_types()), 1, models={}, libraries=libraries)


def out(*inputs: str) -> dict[str, object]:
    """The node that publishes."""
    return {"id": "out", "type": "mqtt_pub", "topic": "t/out", "inputs": list(inputs)}


def messages(*pairs: tuple[str, bytes]) -> list[Numbered]:
    """A recording."""
    return [
        Numbered(number, Recorded.of(topic, payload, NOW, qos=1, retain=False))
        for number, (topic, payload) in enumerate(pairs, 1)
    ]


async def played(pipeline: Loaded, recording: list[Numbered], results: list[Any] | None = None) -> list[Outcome]:
    """What comes of a recording."""
    seen: list[Any] = [] if results is None else results
    async with Player.playing(pipeline, recording, lambda node, result: seen.append((node, result))) as player:
        outcomes = [await player.play(message) for message in recording]
    return [outcome for outcome in outcomes if outcome is not None]


def answers(outcome: Outcome) -> list[tuple[str, Any]]:
    """What a message was answered with."""
    return [(answer.topic, orjson.loads(answer.message)) for answer in outcome.answers]


async def test_each_answer_has_its_question(tmp_path: Path) -> None:
    """Also where the node takes its time; a failure is told with its node; other topics begin nothing."""
    source = "import asyncio\nasync def exec(given):\n    await asyncio.sleep(0)\n    return 10 / given\n"
    path = tmp_path / "x.py"
    path.write_text(source)
    recording = messages(("t/in", b"5"), ("t/other", b"1"), ("t/in/a", b"0"), ("t/in", b"{"), ("t/in", b"2"))
    results: list[Any] = []
    found = await played(loaded([IN, LIBRARY, out("x")], pipelib_x=path), recording, results)
    assert [outcome.number for outcome in found] == [1, 3, 4, 5]
    assert [answers(outcome) for outcome in found] == [[("t/out", 2.0)], [], [], [("t/out", 5.0)]]
    told = [outcome.failure and (outcome.failure.node, outcome.failure.reason[:20]) for outcome in found]
    assert told == [None, ("x", "pipelib_x: ZeroDivis"), ("in", "the payload is no JS"), None]
    assert [one for one in results if one[0] != "in"] == [("x", 2.0), ("out", 2.0), ("x", 5.0), ("out", 5.0)]


async def test_a_node_in_the_middle_gets_what_was_recorded_later() -> None:
    """Each run the first one that came after its own message and that no run before it took."""
    recording = messages(
        ("t/reply", b'"too early"'),
        ("t/in", b"1"),
        ("t/in", b"2"),
        ("t/reply", b'"one"'),
        ("t/reply", b'"two"'),
        ("t/in", b"3"),
        ("t/reply", b"{"),
        ("t/in", b"4"),
    )
    first, second, third, last = await played(loaded(ASKING), recording)
    assert answers(first) == [("t/ask", 1), ("t/out", {"in": 1, "reply": "one"})]
    assert answers(second) == [("t/ask", 2), ("t/out", {"in": 2, "reply": "two"})]
    assert third.failure is not None
    assert third.failure.reason.startswith("the payload is no JSON")
    assert last.failure is not None
    assert (last.failure.node, answers(last)) == ("reply", [("t/ask", 4)])
    assert last.failure.reason == "there is no later message on 't/reply' that it could wait for"


@given(st.lists(st.sampled_from(["t/in", "t/reply"]), max_size=12))
async def test_a_recording_gives_the_same_each_time(topics: list[str]) -> None:
    """Whatever the order of questions and replies."""
    recording = messages(*((topic, str(number).encode()) for number, topic in enumerate(topics)))
    pipeline = loaded(ASKING)
    first, second = [
        [outcome.model_copy(update={"latency_ms": 0.0}) for outcome in await played(pipeline, recording)]
        for _ in range(2)
    ]
    assert first == second
    taken = [answers(one)[-1][1]["reply"] for one in first if one.failure is None]
    assert taken == sorted(set(taken))
