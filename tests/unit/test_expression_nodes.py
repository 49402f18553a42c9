"""The nodes that expressions make: transform, filter and switch, in an engine."""

import pytest

from pipeline_runtime.builtin import builtin_types
from pipeline_runtime.compiling.graph import compile as compile_graph
from pipeline_runtime.compiling.problems import BadPipeline
from schemas.pipelines import NodeSpec, PipelineSpec
from tests.unit.engine_desk import Written, desk

IN: Written = {"id": "in", "type": "mqtt_sub", "topic": "in/{line}"}


def out(*inputs: str, **more: object) -> Written:
    """Publishes."""
    return {"id": "out", "type": "mqtt_pub", "topic": "t/out", "inputs": list(inputs), **more}


async def test_transform_gives_what_its_expression_makes() -> None:
    """With the topic and its levels; nothing is null."""
    text = '{"f": temperature * 1.8 + 32, "line": $levels.line, "topic": $topic, "nothing": nothing}'
    nodes: list[Written] = [
        IN,
        {"id": "make", "type": "transform", "expression": text, "inputs": ["in"]},
        {"id": "none", "type": "transform", "expression": "nothing", "inputs": ["make"]},
        out("make", "none"),
    ]
    async with desk(nodes) as made:
        await made.answered({"temperature": 100}, "in/7")
        assert made.bodies() == [{"make": {"f": 212, "line": "7", "topic": "in/7"}, "none": None}]


async def test_what_an_expression_cannot_do_becomes_a_dead_letter() -> None:
    """And the next message is answered."""
    async with desk([IN, {"id": "x", "type": "transform", "expression": "a / b", "inputs": ["in"]}, out("x")]) as made:
        await made.answered({"a": 1, "b": 0}, "in/7")
        await made.answered({"a": 1, "b": 4}, "in/7")
        assert made.letters() == [("x", "a / b: a division by zero")]
        assert made.bodies() == [0.25]


async def test_filter_hands_on_or_drops() -> None:
    """What is dropped is acknowledged, and what is behind it is skipped."""
    async with desk([IN, {"id": "hot", "type": "filter", "where": "t > 30", "inputs": ["in"]}, out("hot")]) as made:
        for value in ({"t": 31, "x": [1]}, {"t": 29}, {}, {"t": None}):
            await made.answered(value, "in/7")
        assert made.bodies() == [{"t": 31, "x": [1]}]
        assert made.letters() == [("hot", "t > 30: The expressions either side of operator > must evaluate to numeric"
                                          " or string values")]  # fmt: skip
        assert made.results["out"] == "not run"


ROUTES = {"hot": "t > 30", "very_hot": "t > 90", "cold": "t < 5"}


@pytest.mark.parametrize(
    ("match", "value", "taken"),
    [
        ("first", 31, ["hot"]),
        ("first", 91, ["hot"]),
        ("all", 91, ["hot", "very_hot"]),
        ("all", 1, ["cold"]),
        ("first", 20, ["normal"]),
        ("all", 20, ["normal"]),
    ],
)
async def test_switch_takes_the_branches_that_hold(match: str, value: int, taken: list[str]) -> None:
    """One or all of them, in the order in which they are written; else the one for the others."""
    route: Written = {
        "id": "route", "type": "switch", "routes": ROUTES, "otherwise": "normal", "match": match, "inputs": ["in"],
    }  # fmt: skip
    branches = [f"route.{name}" for name in ("hot", "very_hot", "cold", "normal")]
    async with desk([IN, route, out(*branches, join="any")]) as made:
        await made.answered({"t": value}, "in/7")
        assert made.bodies() == [{f"route.{name}": {"t": value} for name in taken}]


async def test_switch_without_otherwise_may_take_none() -> None:
    """Then everything behind it is skipped."""
    route: Written = {"id": "route", "type": "switch", "routes": ROUTES, "inputs": ["in"]}
    async with desk([IN, route, out("route.hot")]) as made:
        await made.answered({"t": 20}, "in/7")
        assert made.results["out"] == "skipped"
        assert made.published == []


def problems(node: Written) -> list[str]:
    """What is wrong with a pipeline that has this node."""
    nodes = [IN, {"id": "n", "inputs": ["in"], **node}]
    spec = PipelineSpec(name="p", nodes=tuple(NodeSpec.model_validate(written) for written in nodes))
    with pytest.raises(BadPipeline) as caught:
        compile_graph(spec, builtin_types())
    return [f"{problem.where}: {problem.message}" for problem in caught.value.problems]


def test_a_wrong_expression_is_named_with_its_node_field_and_place() -> None:
    """So that who wrote it can mend it."""
    assert problems({"type": "transform", "expression": "a +"}) == [
        "nodes[1].expression: node 'n': Unexpected end of expression, at character 3"
    ]
    assert problems({"type": "filter", "where": "(a"}) == [
        "nodes[1].where: node 'n': Expected ) before end of expression, at character 2"
    ]
    assert problems({"type": "switch", "routes": {"hot": "t >", "cold": "t < 5"}}) == [
        "nodes[1].routes.hot: node 'n': Unexpected end of expression, at character 3"
    ]


def test_branches_have_names_of_their_own() -> None:
    """Which can stand behind a dot."""
    assert problems({"type": "switch", "routes": {"hot": "t"}, "otherwise": "hot"}) == [
        "nodes[1]: node 'n': otherwise: 'hot' is one of the routes; give it a name of its own"
    ]
    (problem,) = problems({"type": "switch", "routes": {"very hot": "t"}})
    assert "nodes[1].routes.very hot" in problem


def test_what_may_be_skipped_must_be_joined_on_purpose() -> None:
    """Behind a filter and behind a switch."""
    nodes: list[Written] = [
        IN,
        {"id": "hot", "type": "filter", "where": "t > 30", "inputs": ["in"]},
        {"id": "route", "type": "switch", "routes": ROUTES, "inputs": ["in"]},
        out("in", "hot", "route.cold"),
    ]
    spec = PipelineSpec(name="p", nodes=tuple(NodeSpec.model_validate(written) for written in nodes))
    with pytest.raises(BadPipeline, match="hot, route may be skipped"):
        compile_graph(spec, builtin_types())
