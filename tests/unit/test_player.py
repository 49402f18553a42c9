"""Pipelines fed with recorded messages, without a broker."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_runtime.builtin import builtin_types
from pipeline_runtime.compiling.graph import compile as compile_graph
from schemas.errors import BadInput
from schemas.pipelines import PipelineSpec
from tidemill.replay.answers import Outcome
from tidemill.replay.player import Numbered, Player, Prepared
from tidemill.replay.recording import Recorded
from tidemill.replay.replaying import Pace, refuse_effects, replay

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
Written = dict[str, object]
IN: Written = {"id": "in", "type": "mqtt_sub", "topic": "t/in/#"}
LIBRARY: Written = {"id": "x", "type": "library", "library": "pipelib_x", "inputs": ["in"]}
ASKING: tuple[Written, ...] = (
    IN,
    {"id": "ask", "type": "mqtt_pub", "topic": "t/ask", "inputs": ["in"]},
    {"id": "reply", "type": "mqtt_sub", "topic": "t/reply", "inputs": ["ask"]},
    {"id": "out", "type": "mqtt_pub", "topic": "t/out", "inputs": ["in", "reply"]},
)


def prepared(nodes: Sequence[Written], **more: object) -> Prepared:
    """A pipeline of these nodes."""
    spec = PipelineSpec.model_validate({"name": "p", "nodes": nodes, **more})
    return Prepared(compile_graph(spec, builtin_types()), {}, {})


def with_library(folder: Path, source: str, **more: object) -> Prepared:
    """A pipeline that calls a library with this source."""
    path = folder / "x.py"
    path.write_text(source)
    return replace(prepared([IN, LIBRARY, out("x")], **more), libraries={"pipelib_x": path})


def out(*inputs: str) -> Written:
    """The node that publishes."""
    return {"id": "out", "type": "mqtt_pub", "topic": "t/out", "inputs": list(inputs)}


def messages(*pairs: tuple[str, bytes]) -> list[Numbered]:
    """A recording."""
    return [
        Numbered(number, Recorded.of(topic, payload, NOW, qos=1, retain=False))
        for number, (topic, payload) in enumerate(pairs, 1)
    ]


async def played(pipeline: Prepared, recording: list[Numbered], results: list[Any] | None = None) -> list[Outcome]:
    """What comes of a recording; ``results`` gets what the nodes gave."""
    outcomes = []
    async with Player.playing(pipeline, recording) as player:
        for message in recording:
            outcomes.append(await player.play(message))
            if results is not None:
                results.append(dict(player.results))
    return [outcome for outcome in outcomes if outcome is not None]


def answers(outcome: Outcome) -> list[tuple[str, Any]]:
    """What a message was answered with."""
    return [(answer.topic, orjson.loads(answer.message)) for answer in outcome.answers]


async def test_each_answer_has_its_question(tmp_path: Path) -> None:
    """Also where the node takes its time; a failure is told with its node; other topics begin nothing."""
    source = "import asyncio\nasync def exec(given):\n    await asyncio.sleep(0)\n    return 10 / given\n"
    recording = messages(("t/in", b"5"), ("t/other", b"1"), ("t/in/a", b"0"), ("t/in", b"{"), ("t/in", b"2"))
    results: list[Any] = []
    found = await played(with_library(tmp_path, source), recording, results)
    assert [outcome.number for outcome in found] == [1, 3, 4, 5]
    assert [answers(outcome) for outcome in found] == [[("t/out", 2.0)], [], [], [("t/out", 5.0)]]
    told = [outcome.failure and (outcome.failure.node, outcome.failure.reason[:20]) for outcome in found]
    assert told == [None, ("x", "pipelib_x: ZeroDivis"), ("in", "the payload is no JS"), None]
    assert results == [{"in": 5, "x": 2.0, "out": 2.0}] * 2 + [{"in": 0}, {}, {"in": 2, "x": 5.0, "out": 5.0}]


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
    first, second, third, last = await played(prepared(ASKING), recording)
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
    pipeline = prepared(ASKING)
    first, second = [
        [outcome.model_copy(update={"latency_ms": 0.0}) for outcome in await played(pipeline, recording)]
        for _ in range(2)
    ]
    assert first == second
    taken = [answers(one)[-1][1]["reply"] for one in first if one.failure is None]
    assert taken == sorted(set(taken))


async def test_a_pipeline_that_stops_is_tried_with_the_next_message(tmp_path: Path) -> None:
    """A failure is told in the same way, whatever the pipeline would do after it."""
    source = "def exec(given):\n    return 10 / given\n"
    pipeline = with_library(tmp_path, source, on_error={"then": "stop"})
    failed, answered = await played(pipeline, messages(("t/in", b"0"), ("t/in", b"5")))
    assert failed.failure is not None
    assert (failed.failure.node, answers(answered)) == ("x", [("t/out", 2.0)])


async def test_a_reply_that_answers_another_question_is_passed_over() -> None:
    """Nodes with a correlation get the next message that has theirs, wherever it stands."""
    asking: list[Written] = [
        IN,
        {"id": "ask", "type": "mqtt_pub", "topic": "t/ask", "inputs": ["in"]},
        {"id": "reply", "type": "mqtt_sub", "topic": "t/reply", "correlate": "id", "inputs": ["ask"]},
        out("reply"),
    ]
    recording = messages(
        ("t/in", b'{"id": 1}'), ("t/in", b'{"id": 2}'), ("t/reply", b'{"id": 2, "n": 2}'), ("t/reply", b'{"id": 1}')
    )
    first, second = await played(prepared(asking), recording)
    assert answers(first)[1:] == [("t/out", {"id": 1})]
    assert answers(second)[1:] == [("t/out", {"id": 2, "n": 2})]


async def test_a_message_that_is_put_aside_is_told_with_its_reason() -> None:
    """As one that failed; what else was published is told too."""
    aside: Written = {"id": "no", "type": "dead_letter", "reason": "not today", "inputs": ["in"]}
    (found,) = await played(prepared([IN, aside, out("in")]), messages(("t/in", b"1")))
    assert found.failure is not None
    assert (found.failure.node, found.failure.reason, answers(found)) == ("no", "not today", [("t/out", 1)])


async def test_a_replay_keeps_its_pace() -> None:
    """The messages come no closer together than they were recorded, divided by the speed."""
    recording = [
        Recorded.of("t/in", b"1", NOW + timedelta(milliseconds=100 * number), qos=1, retain=False)
        for number in range(3)
    ]
    taken: list[tuple[Outcome, ...]] = []
    loop = asyncio.get_running_loop()
    began = loop.time()
    await replay([prepared([IN, out("in")])], lambda: iter(recording), Pace(2.0), taken.append)
    assert loop.time() - began >= 0.1
    assert [outcome.number for (outcome,) in taken] == [1, 2, 3]


async def test_pipelines_that_take_other_topics_are_compared() -> None:
    """A message that only one of them takes is told as answered by one only; one that none takes, not at all."""
    elsewhere = prepared([{**IN, "topic": "u/in"}, out("in")])
    recording = [one.recorded for one in messages(("t/in", b"1"), ("u/in", b"2"), ("v/in", b"3"))]
    taken: list[tuple[Outcome, ...]] = []
    await replay([prepared([IN, out("in")]), elsewhere], lambda: iter(recording), Pace(None), taken.append)
    assert [[len(outcome.answers) for outcome in outcomes] for outcomes in taken] == [[1, 0], [0, 1]]


def test_a_pipeline_that_reaches_out_is_refused() -> None:
    """Naming its nodes: what is only tried must not be felt elsewhere."""
    nodes = [IN, {"id": "call", "type": "http", "url": "http://mes.example/orders", "inputs": ["in"]}]
    plan = compile_graph(PipelineSpec.model_validate({"name": "p", "nodes": nodes}), builtin_types())
    with pytest.raises(BadInput, match=r"reaches out with call \(http\)"):
        refuse_effects(plan)
