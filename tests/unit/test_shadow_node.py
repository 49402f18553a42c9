"""A second model beside the one that answers: compared, counted, and never in the way."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_runtime.models.agreement import agree
from pipeline_runtime.models.onnx_model import OnnxModel
from pipeline_runtime.models.shadow_calls import ShadowCalls
from pipeline_runtime.node_type import SKIPPED, Fittings
from pipeline_runtime.nodes.shadow import NODE, Params
from schemas.errors import BadInput
from tests import onnx_graphs
from tests.unit.engine_desk import Written, desk, until_acknowledged

RUN: Any = None  # a model does not look at it


def shadow_of(path: Path, *, inputs: Sequence[str] = ("in", "predict"), slow: bool = False, **params: object) -> Any:
    """A shadow node that asks the model in this file."""
    model = OnnxModel(path)
    model.usual_s = float(slow)
    given_params = Params.model_validate({"model": "m@candidate", "against": "predict"} | params)
    node = NODE.make(given_params, Fittings("compare", {"m@candidate": model}, {}, inputs=tuple(inputs)))
    assert isinstance(node, ShadowCalls)
    return node


@pytest.fixture(name="doubling", scope="module")
def _doubling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return onnx_graphs.times(tmp_path_factory.mktemp("models") / "doubling.onnx", 2.0)


async def came(result: object) -> Mapping[str, object]:
    """A comparison, whether it had to be waited for or not."""
    comparison = await result if isinstance(result, Awaitable) else result
    assert isinstance(comparison, Mapping)
    return comparison


async def test_people_see_how_often_they_agreed(doubling: Path, tmp_path: Path) -> None:
    """The engine's figures have what a shadow counts; what it does changes no answer."""
    other = onnx_graphs.times(tmp_path / "other.onnx", 3.0)
    nodes: list[Written] = [
        {"id": "in", "type": "mqtt_sub", "topic": "t/in"},
        {"id": "predict", "type": "model", "model": "m", "inputs": ["in"]},
        {"id": "compare", "type": "shadow", "model": "n", "against": "predict", "inputs": ["in", "predict"]},
        {"id": "out", "type": "mqtt_pub", "topic": "t/out", "inputs": ["predict"]},
    ]
    async with desk(nodes, models={"m": doubling, "n": other}) as on:
        await until_acknowledged([on.hand_in([[value, 0]]) for value in (0, 1, 2)])
        assert on.bodies() == [[[0.0, 0.0]], [[2.0, 0.0]], [[4.0, 0.0]]]
        notes = on.engine.figures()["compare"].notes
    assert {word: notes[word] for word in ("agreed", "disagreed", "failed", "missed")} == {
        "agreed": 1, "disagreed": 2, "failed": 0, "missed": 0,
    }  # fmt: skip


@pytest.mark.parametrize("slow", [False, True])
async def test_the_two_answers_are_compared_and_counted(doubling: Path, slow: bool) -> None:
    """The result says what each gave, and whether that is the same; the counters say how often it was."""
    node = shadow_of(doubling, slow=slow)
    asked = [[[1, 2]], [[3, 4]], [["x", 4]]]
    served = [[[2.0, 4.0]], [[6.0, 9.0]], [[0.0, 8.0]]]
    values = [{"in": question, "predict": answer} for question, answer in zip(asked, served, strict=True)]
    same, other, bad = [await came(one) for one in node.resolve_many(values, [RUN] * 3)]
    assert (same["agree"], same["served"], same["shadow"]) == (True, [[2.0, 4.0]], [[2.0, 4.0]])
    assert (other["agree"], other["shadow"]) == (False, [[6.0, 8.0]])
    assert bad["agree"] is None
    assert "given text" in str(bad["error"])
    counters = node.counters
    assert (counters.agreed, counters.disagreed, counters.failed, counters.missed) == (1, 1, 1, 0)
    assert 0 < counters.mean_s <= counters.longest_s <= counters.total_s
    await node.close()


async def test_a_message_alone_is_compared_too(doubling: Path) -> None:
    """As several at once are."""
    node = shadow_of(doubling, tolerance=0.1)
    assert (await came(node.resolve({"in": [[1, 2]], "predict": [[2.05, 4.0]]}, RUN)))["agree"] is True


async def test_a_slow_shadow_misses_messages_instead_of_holding_them_up(doubling: Path) -> None:
    """So many may wait for it; those that come meanwhile are skipped, and counted."""
    node = shadow_of(doubling, slow=True, at_once=2)
    value = {"in": [[1, 2]], "predict": [[2.0, 4.0]]}
    *waiting, missed = node.resolve_many([value] * 3, [RUN] * 3)
    assert missed is SKIPPED
    assert node.resolve(value, RUN) is SKIPPED
    assert node.counters.missed == 2
    assert [(await came(one))["agree"] for one in waiting] == [True, True]
    assert (await came(node.resolve(value, RUN)))["agree"] is True  # there is room again


async def test_a_run_that_ended_leaves_its_place(doubling: Path) -> None:
    """Who gives up waiting makes room for the next one."""
    node = shadow_of(doubling, slow=True, at_once=1)
    value = {"in": [[1, 2]], "predict": [[2.0, 4.0]]}
    given_up = asyncio.ensure_future(node.resolve(value, RUN))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.wait([given_up])
    assert (await came(node.resolve(value, RUN)))["agree"] is True


async def test_nobody_waits_for_a_shadow_that_is_told_so(doubling: Path) -> None:
    """A slow shadow gives its node nothing at once, and is counted when its answer is there; the end waits for none."""
    node = shadow_of(doubling, slow=True, wait=False)
    assert node.resolve({"in": [[1, 2]], "predict": [[2.0, 4.0]]}, RUN) is SKIPPED
    assert node.counters.agreed == 0
    comparing = [task for task in asyncio.all_tasks() if task.get_name() == "compare with a shadow"]
    await asyncio.wait(comparing, timeout=10)
    assert node.counters.agreed == 1
    assert node.resolve({"in": [[1, 2]], "predict": [[2.0, 4.0]]}, RUN) is SKIPPED
    await node.close()
    assert (node.counters.agreed, node.counters.failed) == (1, 0)


async def test_what_was_skipped_is_not_compared(doubling: Path) -> None:
    """Without an answer to compare with, or without a question, there is nothing to do."""
    node = shadow_of(doubling)
    assert node.resolve_many([{"in": [[1, 2]]}, {"predict": [[1]]}], [RUN] * 2) == [SKIPPED, SKIPPED]
    assert node.counters.missed == 0


async def test_several_inputs_are_fed_as_to_a_model_node(tmp_path: Path) -> None:
    """All inputs but the one it compares with go into the model."""
    path = onnx_graphs.several(tmp_path / "m.onnx")
    node = shadow_of(path, inputs=("left", "right", "predict"), feed={"a": "left.x", "b": "right"})
    value = {"left": {"x": [[1, 2]]}, "right": [[10]], "predict": [[11.0, 12.0]]}
    assert (await came(node.resolve(value, RUN)))["agree"] is True


@pytest.mark.parametrize("inputs", [("in",), ("predict",), ("in", "other")])
def test_it_needs_a_question_and_an_answer(doubling: Path, inputs: tuple[str, ...]) -> None:
    """`against` must be one of its inputs, and not the only one."""
    with pytest.raises(BadInput, match="`against`: 'predict' must be one of its inputs"):
        shadow_of(doubling, inputs=inputs)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1.0, 1.05, True),
        (1.0, 1.2, False),
        (100.0, 109.0, True),
        (1, 1.05, True),
        (1, 2, False),
        (10, 11, False),  # classes
        (float("nan"), float("nan"), True),
        (True, 1.0, False),
        ("a", "a", True),
        ("a", 1, False),
        (None, None, True),
        ([1.0, 2.0], [1.0], False),
        ({"a": [1.0]}, {"a": [1.01]}, True),
        ({"a": 1.0}, {"b": 1.0}, False),
        ({"a": 1.0}, [1.0], False),
    ],
)
def test_what_agrees(one: object, other: object, *, same: bool) -> None:
    """Numbers may differ by the tolerance, everything else may not differ at all."""
    assert agree(one, other, 0.1) is same
    assert agree(other, one, 0.1) is same


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(value=values)
def test_every_value_agrees_with_itself(value: object) -> None:
    """Whatever it holds."""
    assert agree(value, value, 0.0)
