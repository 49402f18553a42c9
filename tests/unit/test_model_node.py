"""What the model node feeds, gives, and answers together."""

import asyncio
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from pydantic import ValidationError

from pipeline_runtime.models.call_times import CallTimes
from pipeline_runtime.models.model_calls import SLOW_S, ModelCalls
from pipeline_runtime.models.onnx_model import OnnxModel
from pipeline_runtime.node_type import Fittings
from pipeline_runtime.nodes.model import NODE, Params
from schemas.errors import BadInput, BadPayload
from tests import onnx_graphs

RUN: Any = None  # a model does not look at it


def node_of(
    path: Path, *, parents: Sequence[str] = ("in",), usual_s: float | None = None, **params: object
) -> ModelCalls:
    """A model node for the model in this file; ``usual_s`` says how slow it takes the model to be."""
    model = OnnxModel(path)
    model.warm()
    if usual_s is not None:
        model.usual_s = usual_s
    fittings = Fittings("predict", {"m": model}, {}, inputs=tuple(parents))
    node = NODE.make(Params.model_validate({"model": "m"} | params), fittings)
    assert isinstance(node, ModelCalls)
    return node


async def _came(given_now: object) -> object:
    try:
        return await given_now if isinstance(given_now, Awaitable) else given_now
    except BadPayload as error:
        return error


def answers(node: ModelCalls, values: Sequence[object]) -> list[object]:
    """What the node gives for messages that are there at once, or how it fails."""

    async def ask() -> list[object]:
        return [await _came(one) for one in node.resolve_many(values, [RUN] * len(values))]

    return asyncio.run(ask())


def answer_or_error(node: ModelCalls, value: object) -> object:
    """What the node gives for one message, or how it fails."""

    async def ask() -> object:
        try:
            return await _came(node.resolve(value, RUN))
        except BadPayload as error:
            return error

    return asyncio.run(ask())


def answer(node: ModelCalls, value: object) -> object:
    """What the node gives for one message."""
    given_back = answer_or_error(node, value)
    if isinstance(given_back, BadPayload):
        raise given_back
    return given_back


@pytest.fixture(name="several", scope="module")
def _several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return onnx_graphs.several(tmp_path_factory.mktemp("models") / "several.onnx")


@pytest.fixture(name="doubling", scope="module")
def _doubling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return onnx_graphs.times(tmp_path_factory.mktemp("models") / "doubling.onnx", 2.0)


def test_several_inputs_are_fed_from_an_object_with_their_names(several: Path) -> None:
    """Without `feed` the input's keys are the model's input names; the first output is the result (defect 41)."""
    assert answer(node_of(several), {"a": [[1, 2]], "b": [[10]]}) == [[11.0, 12.0]]


@pytest.mark.parametrize(
    ("parents", "feed", "value"),
    [
        (("in",), {"a": "rows", "b": "more.offset"}, {"rows": [[1, 2]], "more": {"offset": [[10]]}}),
        (("in",), {"a": "in.rows", "b": "in.more.offset"}, {"rows": [[1, 2]], "more": {"offset": [[10]]}}),
        (("left", "right"), {"a": "left", "b": "right"}, {"left": [[1, 2]], "right": [[10]]}),
        (("left", "right"), {"a": "left.x", "b": "right.y"}, {"left": {"x": [[1, 2]]}, "right": {"y": [[10]]}}),
        (
            ("way.hot", "way.cold"),
            {"a": "way.hot.x", "b": "way.cold"},
            {"way.hot": {"x": [[1, 2]]}, "way.cold": [[10]]},
        ),
    ],
)
def test_feed_takes_parents_and_their_fields(
    several: Path, parents: tuple[str, ...], feed: dict[str, str], value: object
) -> None:
    """A path begins with a parent as the node's inputs write it; with one parent it may begin with a field of it."""
    assert answer(node_of(several, parents=parents, feed=feed), value) == [[11.0, 12.0]]


def test_features_may_be_columns(several: Path, tmp_path: Path) -> None:
    """A model with an input for each feature, as exports of data frames have it, is fed a column each."""
    column = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1]) for name in ("w", "h")]
    area = [helper.make_tensor_value_info("area", TensorProto.FLOAT, ["n", 1])]
    path = onnx_graphs.save(tmp_path / "area.onnx", [helper.make_node("Mul", ["w", "h"], ["area"])], column, area)
    rows = [{"h": 2, "w": 3}, {"h": 4, "w": 5}]
    assert answer(node_of(path, features=["w", "h"]), rows) == [[6.0], [20.0]]
    with pytest.raises(BadInput, match=r"this model has a, b: use `feed`"):
        node_of(several, features=["w", "h"])


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"a": [[1, 2]]}, "input 'b' is missing"),
        ([[1, 2]], "wants an object with a, b, and was given a list"),
        ({"a": [[1, 2, 3]], "b": [[1]]}, r"input 'a': the model wants shape \[any, 2\], and was given \[1, 3\]"),
        ({"a": [[1, 2]], "b": [["x"]]}, "input 'b': the model wants tensor.float., and was given text"),
    ],
)
def test_an_input_that_does_not_fit_is_named(several: Path, value: object, says: str) -> None:
    """The error says which of the inputs is wrong."""
    with pytest.raises(BadPayload, match=says):
        answer(node_of(several), value)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({}, "there is no rows: 'rows' is missing"),
        ({"rows": [[1, 2]], "more": 7}, "'offset' is looked for in a number"),
    ],
)
def test_a_path_that_leads_nowhere_is_told(several: Path, value: object, says: str) -> None:
    """The error says how far the path led."""
    with pytest.raises(BadPayload, match=says):
        answer(node_of(several, feed={"a": "rows", "b": "more.offset"}), value)


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"feed": {"a": "x"}}, "does not say what goes into b"),
        ({"feed": {"a": "x", "b": "y", "c": "z"}}, "no input 'c'; it has a, b"),
        ({"outputs": ["sums"]}, "no output 'sums'; it has sum, class, scores"),
        ({"provider": "abacus"}, "no execution provider 'abacus'; it has .*cpu"),
        ({"labels": ["x", "y", "z"]}, r"score for each label; the outputs are sum \(tensor\(float\) \[any, 2\]\)"),
        ({"top": 1, "outputs": ["class"]}, r"a score for each class; the outputs are class .*: `outputs: \[sum\]`"),
        ({"top": 1, "outputs": ["class"], "labels": ["cold", "hot"]}, r"of the 2 labels; .*: `outputs: \[sum\]`"),
        ({"top": 1, "labels": ["x", "y", "z"]}, "each of the 3 labels; .* no output of the model has them"),
    ],
)
def test_parameters_that_do_not_fit_the_model_are_refused(several: Path, params: dict[str, Any], says: str) -> None:
    """What the node names and the model has not is told before the first message, with what there is."""
    with pytest.raises(BadInput, match=says) as refusal:
        node_of(several, **params)
    assert str(refusal.value).startswith("model 'm': ")


def test_the_best_of_a_label_is_refused(tmp_path: Path) -> None:
    """A classifier's first output is its label, of which there is no best: the output with the scores is named."""
    with pytest.raises(BadInput, match=r"`top` needs .* label \(tensor\(string\) .*: `outputs: \[scores\]`"):
        node_of(onnx_graphs.classifier(tmp_path / "m.onnx"), top=1)


def test_an_output_is_named_once() -> None:
    """Two of the same name would silently be one."""
    with pytest.raises(ValidationError, match="'sum' is named twice"):
        Params.model_validate({"model": "m", "outputs": ["sum", "class", "sum"]})


@pytest.mark.parametrize(
    ("shape", "features", "says"),
    [
        (("n", 2), "abc", r"model 'm': input 'x' wants 2 features, .* \[any, 2\], and 3 are listed .*: a, b, c"),
        ((1, 2), "a", "wants 2 features, .* 1 are listed"),
        (("n", 2, "k"), "abc", "wants 2 features, .* 3 are listed"),
        (("n",), "a", r"takes no rows: its shape is \[any\]; leave `features` out"),
    ],
)
def test_features_that_can_never_fit_are_refused(
    tmp_path: Path, shape: onnx_graphs.Shape, features: str, says: str
) -> None:
    """How many values a row has is known before the first message, where the model fixes it."""
    with pytest.raises(BadInput, match=says):
        node_of(onnx_graphs.times(tmp_path / "m.onnx", 2.0, shape), features=list(features))


@pytest.mark.parametrize(
    ("shape", "value", "expected"),
    [
        (("n", 2), {"a": 1, "b": 2}, [[2.0, 4.0]]),
        (("n", "m"), {"a": 1, "b": 2}, [[2.0, 4.0]]),
        ((2, 2), [{"a": 1, "b": 2}, {"a": 3, "b": 4}], [[2.0, 4.0], [6.0, 8.0]]),
        (("n", 2, 3), {"a": [1, 2, 3], "b": [4, 5, 6]}, [[[2.0, 4.0, 6.0], [8.0, 10.0, 12.0]]]),
        (("n", "m", "k"), {"a": [1], "b": [2]}, [[[2.0], [4.0]]]),
        (None, {"a": 1, "b": [2]}, None),
        (None, {"a": 1, "b": 2}, [[2.0, 4.0]]),
    ],
)
def test_features_that_may_fit_are_taken(
    tmp_path: Path, shape: onnx_graphs.Shape | None, value: object, expected: object
) -> None:
    """Axes of any length, more axes, features that hold lists, and a shape that is not told, are for the messages."""
    node = node_of(onnx_graphs.times(tmp_path / "m.onnx", 2.0, shape), features=["a", "b"])
    given_back = answer_or_error(node, value)
    assert given_back == expected if expected else isinstance(given_back, BadPayload)


def test_a_model_of_maps_takes_no_features(tmp_path: Path) -> None:
    """Its input is an object, and features are rows."""
    counts = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    vectors = helper.make_node("DictVectorizer", ["x"], ["y"], domain="ai.onnx.ml", string_vocabulary=["a", "b"])
    wanted = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])]
    path = onnx_graphs.save(tmp_path / "m.onnx", [vectors], helper.make_value_info("x", counts), wanted)
    with pytest.raises(BadInput, match=r"input 'x' is map.*, which takes no rows: leave `features` out"):
        node_of(path, features=["a", "b"])


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"x": 1, "y": "2"}, r"feature 'y' in row 0: the model wants tensor\(float\), and was given text"),
        ([{"x": 1, "y": 2}, {"x": True, "y": 2}], "feature 'x' in row 1: .* was given true or false"),
        ([{"x": 1, "y": 2}] * 6 + [{"x": 1, "y": 1e300}], "feature 'y' in row 6: .* cannot hold a number"),
        ({"x": [1], "y": [2]}, "feature 'x' is a list in row 0; the model takes one value for each feature"),
        ({"x": 1, "y": [2, 3]}, "feature 'y' is a list in row 0"),
        ([], r"the model wants shape \[any, 2\], and was given \[0\]"),
    ],
)
def test_a_feature_of_another_kind_is_named(doubling: Path, value: object, says: str) -> None:
    """As a missing one is, with its row."""
    with pytest.raises(BadPayload, match=f"^{says}"):
        answer(node_of(doubling, features=["x", "y"]), value)


def test_a_feature_of_another_length_is_named(tmp_path: Path) -> None:
    """A model with more axes takes lists as features, which have a length of their own."""
    node = node_of(onnx_graphs.times(tmp_path / "m.onnx", 2.0, ("n", 2, 3)), features=["a", "b"])
    with pytest.raises(BadPayload, match=r"^feature 'b' in row 0: the model wants shape \[3\], and was given \[2\]"):
        answer(node, {"a": [1, 2, 3], "b": [1, 2]})


def test_a_path_must_begin_with_one_of_several_parents(several: Path) -> None:
    """With several parents a field alone could be anybody's."""
    with pytest.raises(BadInput, match="'rows' begins with none of the node's inputs, left, right"):
        node_of(several, parents=("left", "right"), feed={"a": "rows", "b": "right"})


def test_features_and_feed_exclude_each_other() -> None:
    """Both say what goes in."""
    with pytest.raises(ValidationError, match="exclude each other"):
        Params.model_validate({"model": "m", "features": ["a"], "feed": {"x": "a"}})


QUESTION = {"a": [[1, 2], [5, 1]], "b": [[10], [0]]}


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"outputs": ["class"]}, [1, 0]),
        ({"outputs": ["class", "sum"]}, {"class": [1, 0], "sum": [[11.0, 12.0], [5.0, 1.0]]}),
        ({"outputs": ["class"], "labels": ["cold", "hot"]}, ["hot", "cold"]),
        ({"outputs": ["class"], "labels": {1: "hot", 0: "cold"}}, ["hot", "cold"]),
        ({"labels": ["cold", "hot"]}, [{"cold": 11.0, "hot": 12.0}, {"cold": 5.0, "hot": 1.0}]),
        ({"labels": ["cold", "hot"], "top": 1}, [[{"label": "hot", "score": 12.0}], [{"label": "cold", "score": 5.0}]]),
        ({"top": 1}, [[{"label": 1, "score": 12.0}], [{"label": 0, "score": 5.0}]]),
        (
            {"outputs": ["class", "sum"], "labels": ["cold", "hot"], "top": 9},
            {
                "class": ["hot", "cold"],
                "sum": [
                    [{"label": "hot", "score": 12.0}, {"label": "cold", "score": 11.0}],
                    [{"label": "cold", "score": 5.0}, {"label": "hot", "score": 1.0}],
                ],
            },
        ),
    ],
)
def test_outputs_are_chosen_and_named(several: Path, params: dict[str, Any], expected: object) -> None:
    """One output is the result itself, several an object; labels name classes and scores, top gives the best first."""
    assert answer(node_of(several, **params), QUESTION) == expected


def test_a_class_without_a_label_fails_its_message(several: Path) -> None:
    """A number that no label stands for is told, not passed on."""
    node = node_of(several, outputs=["class"], labels={0: "cold"})
    assert answer(node, {"a": [[2, 1]], "b": [[0]]}) == ["cold"]
    with pytest.raises(BadPayload, match="gave class 1, and there are labels for 0"):
        answer(node, {"a": [[1, 2]], "b": [[0]]})


def test_the_best_of_a_classifiers_map(tmp_path: Path) -> None:
    """What ZipMap gives has its labels already, and `top` sorts it."""
    node = node_of(onnx_graphs.classifier(tmp_path / "m.onnx"), outputs=["scores"], top=1)
    assert answer(node, [[2, 1]]) == [[{"label": "left", "score": 1.0}]]


def tensors(dtype: int) -> Any:
    """A tensor of any length."""
    return helper.make_tensor_type_proto(dtype, ["n"])


@pytest.mark.parametrize(
    ("value_type", "value"),
    [
        (tensors(TensorProto.FLOAT16), [1.5, -2.0]),
        (tensors(TensorProto.BFLOAT16), [1.5, -2.0]),
        (tensors(TensorProto.FLOAT8E4M3FN), [1.5, -448.0]),
        (tensors(TensorProto.FLOAT8E5M2), [1.5, -2.0]),
        (tensors(TensorProto.UINT64), [2**64 - 1, 1]),
        (tensors(TensorProto.STRING), ["a", "ends in nothing\0"]),
        (tensors(TensorProto.BOOL), [True, False]),
        (helper.make_sequence_type_proto(tensors(TensorProto.FLOAT)), [[1.0], [2.0, 3.0]]),
        (helper.make_optional_type_proto(tensors(TensorProto.FLOAT)), [1.0]),
    ],
)
def test_every_type_goes_in_and_comes_out(tmp_path: Path, value_type: Any, value: object) -> None:
    """Narrow floats that numpy has not, large numbers, texts, lists of tensors, optional ones."""
    assert answer(node_of(onnx_graphs.as_it_is(tmp_path / "m.onnx", value_type)), value) == value


def test_a_map_goes_in(tmp_path: Path) -> None:
    """A model that takes a map takes an object."""
    element = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    counts = helper.make_map_type_proto(TensorProto.STRING, element)
    vectors = helper.make_node("DictVectorizer", ["x"], ["y"], domain="ai.onnx.ml", string_vocabulary=["a", "b"])
    given_map = helper.make_value_info("x", counts)
    wanted = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])]
    node = node_of(onnx_graphs.save(tmp_path / "m.onnx", [vectors], given_map, wanted))
    assert answer(node, {"b": 2, "z": 9}) == [[0.0, 2.0]]
    with pytest.raises(BadPayload, match="an object of names and values, and was given a list"):
        answer(node, [1])


numbers: st.SearchStrategy[object] = (
    st.floats(width=32) | st.integers(-9, 9) | st.sampled_from([1e300, -1e300, True, None, "1", 2**63])
)
rows: st.SearchStrategy[object] = st.fixed_dictionaries({"x": numbers, "y": numbers}) | st.sampled_from(
    [{}, {"x": 1}, [], 7, "text", None]
)


@given(values=st.lists(rows, max_size=9), usual_s=st.sampled_from([0.0, SLOW_S * 2]))
@settings(max_examples=150, deadline=None)
def test_answers_together_are_the_answers_alone(doubling: Path, values: list[object], usual_s: float) -> None:
    """Whatever comes, each message gets what it would get alone, and a bad one spoils no other."""
    together, alone = (
        node_of(doubling, features=["x", "y"], usual_s=usual_s, batch={"max_rows": most}) for most in (4, 1)
    )

    assert together.together
    expected = [answer_or_error(alone, value) for value in values]
    assert list(map(repr, answers(together, values))) == list(map(repr, expected))


def test_the_quick_way_is_as_strict_as_the_slow_one(doubling: Path) -> None:
    """Nothing is cut, parsed or made a number to be quick."""
    node = node_of(doubling, features=["x", "y"])
    assert node._quick is not None
    wrong: list[object] = [True, None, "1", 1e300, [1], {}]
    for bad in wrong:
        with pytest.raises(BadPayload):
            answer(node, {"x": 1, "y": bad})
    assert answer(node, {"x": 1, "y": 2.5, "z": "more"}) == [[2.0, 5.0]]
    assert answer(node, [{"x": 1, "y": 2}, {"x": 3, "y": 4}]) == [[2.0, 4.0], [6.0, 8.0]]


def test_an_answer_outlives_the_next_question(doubling: Path) -> None:
    """Arrays are used again for each call; what was given before does not change with them."""
    node = node_of(doubling)
    first = answer(node, [[1, 2]])
    assert answer(node, [[3, 4]]) == [[6.0, 8.0]]
    assert first == [[2.0, 4.0]]


def test_a_failing_call_is_repeated_for_each_message(tmp_path: Path) -> None:
    """A value that only the model knows to be wrong costs its own message alone."""
    node = node_of(onnx_graphs.picky(tmp_path / "m.onnx"))
    assert node.together
    good, bad, other = answers(node, [[[2]], [[7]], [[0]]])
    assert (good, other) == ([[2.5]], [[0.5]])
    assert isinstance(bad, BadPayload)
    assert "the model failed on this input" in str(bad)


@pytest.mark.parametrize("labelled", [{"labels": {0: "cold"}, "outputs": ["class"]}])
def test_a_missing_label_costs_its_own_message(several: Path, labelled: dict[str, Any]) -> None:
    """Also when the messages were answered together."""
    node = node_of(several, **labelled)
    cold, hot = {"a": [[2, 1]], "b": [[0]]}, {"a": [[1, 2]], "b": [[0]]}
    first, second, third = answers(node, [cold, hot, cold])
    assert first == third == ["cold"]
    assert isinstance(second, BadPayload)


def test_a_model_that_compares_its_rows_is_asked_for_one_message_at_a_time(tmp_path: Path) -> None:
    """A first axis that is time is free as well, but other messages' rows must not stand in it."""
    node = node_of(onnx_graphs.running_total(tmp_path / "m.onnx"))
    assert not node.together
    assert answers(node, [[[1, 1]], [[2, 2]]]) == [[[1.0, 1.0]], [[2.0, 2.0]]]


def test_a_batch_may_be_forbidden(doubling: Path) -> None:
    """One row at most: each message has a call of its own."""
    assert not node_of(doubling, batch={"max_rows": 1}).together


async def test_a_slow_model_answers_from_a_thread(doubling: Path) -> None:
    """A model that takes long does not hold up what else is in flight; its answer is the same."""
    quick, slow = (node_of(doubling, usual_s=usual_s).resolve([[1, 2]], RUN) for usual_s in (SLOW_S / 2, SLOW_S * 2))
    assert quick == [[2.0, 4.0]]
    assert isinstance(slow, Awaitable)
    assert await slow == quick


def test_many_quick_answers_are_slow_together_until_a_call_shows_otherwise(doubling: Path) -> None:
    """What would hold up everything else for long is asked in a thread; how long it takes, the first call tells."""
    node = node_of(doubling, usual_s=SLOW_S / 2)
    assert list(node.resolve_many([[[1, 2]]], [RUN])) == [[[2.0, 4.0]]]
    values = [[[number, number]] for number in range(9)]

    async def waited_for() -> list[bool]:
        given_now = node.resolve_many(values, [RUN] * 9)
        were = [isinstance(one, Awaitable) for one in given_now]
        assert [await _came(one) for one in given_now] == [[[2.0 * number, 2.0 * number]] for number in range(9)]
        return were

    assert asyncio.run(waited_for()) == [True] * 9
    assert asyncio.run(waited_for()) == [False] * 9


def test_one_call_that_was_held_up_makes_no_model_slow() -> None:
    """Two in a row do; a call of several rows tells what each further row takes."""
    times = CallTimes(0.001)
    assert (times.of(0), times.of(1), times.of(3)) == (0, 0.001, 0.003)
    times.took(1, 0.5)
    assert times.of(1) == 0.001
    times.took(1, 0.5)
    assert times.of(1) == 0.5
    quicker = CallTimes(0.001)
    quicker.took(11, 0.002)
    assert quicker.of(11) == pytest.approx(0.002)
    quicker.took(11, 0.5)
    assert quicker.of(11) == pytest.approx(0.002)
    quicker.took(11, 0.5)
    assert quicker.of(11) == pytest.approx(0.5)


class Counting(OnnxModel):
    """Remembers with how many rows it was asked, and lets nobody else pass while ``held`` is set."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked: list[int] = []

    def ask(self, feed: Any, outputs: Sequence[str]) -> list[Any]:
        """Count, and answer."""
        self.asked.append(len(next(iter(feed.values()))))
        return super().ask(feed, outputs)


async def test_what_comes_while_a_slow_model_answers_goes_together(doubling: Path) -> None:
    """One call for what is there, up to so many rows, each of one form; nobody waits for more to come."""
    model = Counting(doubling)
    model.usual_s = 1.0
    node = NODE.make(Params.model_validate({"model": "m", "batch": {"max_rows": 4}}), Fittings("p", {"m": model}, {}))
    model.asked.clear()
    first: Any = node.resolve([[0, 0]], RUN)
    await asyncio.sleep(0)  # the call has begun
    later: list[Any] = [node.resolve([[number, number]], RUN) for number in range(1, 7)]
    later[1].cancel()  # its run has ended meanwhile
    assert await first == [[0.0, 0.0]]
    assert await later[0] == [[2.0, 2.0]]
    assert await later[5] == [[12.0, 12.0]]
    assert model.asked == [1, 4, 1]
    await node.close()


def test_a_provider_may_be_named_as_it_likes(doubling: Path) -> None:
    """`cpu` and `CPUExecutionProvider` are the same, and the model that is there is used."""
    assert answer(node_of(doubling, provider="CPUExecutionProvider"), [[1, 2]]) == [[2.0, 4.0]]
    model = OnnxModel(doubling)
    assert model.on("cpu") is model
    assert model.on("CPUExecutionProvider") is model


def test_arrays_are_taken_as_they_are(doubling: Path) -> None:
    """A node before may give an array; it is not changed."""
    array = np.array([[1, 2]], np.float32)
    assert answer(node_of(doubling), array) == [[2.0, 4.0]]
    assert array.tolist() == [[1.0, 2.0]]


numbers_or_worse: st.SearchStrategy[object] = (
    st.floats(width=32) | st.integers(-9, 9) | st.sampled_from([True, None, "1"])
)
lists: st.SearchStrategy[object] = st.lists(numbers_or_worse, min_size=2, max_size=3)
for _level in range(2):
    lists = st.lists(lists, min_size=2 - _level, max_size=2)


@given(value=lists)
@settings(max_examples=100, deadline=None)
def test_rows_of_several_axes_are_as_numpy_reads_them(squares: ModelCalls, value: object) -> None:
    """The quick way takes nested lists of the one shape, and gives what numpy makes of them; others fail as ever."""
    got = answer_or_error(squares, value)
    flat = [one for square in value for line in square for one in line]  # type: ignore[attr-defined]
    shape_fits = all(len(line) == 2 for square in value for line in square)  # type: ignore[attr-defined]
    if shape_fits and all(type(one) in {int, float} for one in flat):
        with np.errstate(over="ignore"):  # the model's own arithmetic does not warn either
            wanted = np.array(value, np.float32) * np.float32(2)
        assert np.array_equal(np.array(got), wanted, equal_nan=True)
    else:
        assert isinstance(got, BadPayload)


@pytest.fixture(name="squares", scope="module")
def _squares(tmp_path_factory: pytest.TempPathFactory) -> ModelCalls:
    path = onnx_graphs.times(tmp_path_factory.mktemp("models") / "squares.onnx", 2.0, shape=("n", 2, 2))
    node = node_of(path, usual_s=0.0)
    assert node._quick is not None
    return node


json_values: st.SearchStrategy[object] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=3)
    | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "y", "a", "b"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.fixture(name="many_kinds", scope="module")
def _many_kinds(tmp_path_factory: pytest.TempPathFactory, doubling: Path, several: Path) -> list[ModelCalls]:
    folder = tmp_path_factory.mktemp("models")
    types = [tensors(kind) for kind in (TensorProto.STRING, TensorProto.INT64, TensorProto.UINT8, TensorProto.BFLOAT16)]
    types += [helper.make_sequence_type_proto(tensors(TensorProto.FLOAT)), tensors(TensorProto.BOOL)]
    echoes = [onnx_graphs.as_it_is(folder / f"{number}.onnx", kind) for number, kind in enumerate(types)]
    nodes = [node_of(doubling), node_of(doubling, features=["x", "y"]), node_of(several)]
    return [*nodes, node_of(several, feed={"a": "x", "b": "y.b"}), *(node_of(echo) for echo in echoes)]


@given(value=json_values | st.lists(json_values, max_size=2))
@settings(max_examples=300, deadline=None)
def test_whatever_comes_is_answered_or_refused(many_kinds: list[ModelCalls], value: object) -> None:
    """No value ends in an error that does not say what is wrong with it."""
    for node in many_kinds:
        answer_or_error(node, value)  # raises what is no BadPayload
