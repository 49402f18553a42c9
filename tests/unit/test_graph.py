"""What a pipeline must be to run, and how precisely one that is not is refused."""

from collections.abc import Mapping

import pytest

from pipeline_runtime.builtin import builtin_types
from pipeline_runtime.compiling.graph import compile as compile_graph
from pipeline_runtime.compiling.plan import Plan
from pipeline_runtime.compiling.problems import BadPipeline
from schemas.pipelines import NodeSpec, PipelineSpec

Written = Mapping[str, object]
SUB: Written = {"id": "in", "type": "mqtt_sub", "topic": "t/in"}
PUB: Written = {"id": "out", "type": "mqtt_pub", "topic": "t/out", "inputs": ["in"]}
REPLY: Written = {"id": "reply", "type": "mqtt_sub", "topic": "t/reply", "inputs": ["in"]}
WINDOW: Written = {"id": "window", "type": "window", "inputs": ["in"]}


def spec(*nodes: Written, **more: str) -> PipelineSpec:
    """A pipeline of these nodes."""
    return PipelineSpec(name="p", nodes=tuple(NodeSpec.model_validate(node) for node in nodes), **more)


def compiled(*nodes: Written, **more: str) -> Plan:
    """Its plan."""
    return compile_graph(spec(*nodes, **more), builtin_types())


def problems(*nodes: Written, **more: str) -> dict[str, str]:
    """What is wrong with it, by place."""
    with pytest.raises(BadPipeline) as caught:
        compiled(*nodes, **more)
    return {problem.where: problem.message for problem in caught.value.problems}


def test_nodes_may_stand_in_any_order() -> None:
    """The plan runs inputs first, however the file lists them."""
    model: Written = {"id": "predict", "type": "model", "model": "iris", "inputs": ["in"]}
    library: Written = {"id": "flower", "type": "library", "library": "pipelib_flower", "inputs": ["in", "predict"]}
    plan = compiled({**PUB, "inputs": ["flower"]}, library, model, SUB)
    assert [step.id for step in plan.routes["in"]] == ["predict", "flower", "out"]
    assert (set(plan.models), set(plan.libraries)) == ({"iris"}, {"pipelib_flower"})
    assert plan.subscriptions == (("t/in", 1, ""),)


def test_each_root_has_a_route_of_its_own() -> None:
    """A message goes only through what is behind the topic it came on."""
    other: Written = {"id": "in2", "type": "mqtt_sub", "topic": "t/in2", "qos": 0}
    plan = compiled(SUB, other, PUB, {**PUB, "id": "out2", "inputs": ["in2"]})
    assert {root: [step.id for step in plan.routes[root]] for root in plan.roots} == {
        "in": ["out"],
        "in2": ["out2"],
    }


def test_what_is_waited_for_is_subscribed_to_first_and_with_qos_0() -> None:
    """No run can begin before the message that it will wait for can come."""
    reply: Written = {"id": "reply", "type": "mqtt_sub", "topic": "t/reply", "inputs": ["in"]}
    plan = compiled(SUB, reply, {**PUB, "inputs": ["reply"]})
    assert plan.subscriptions == (("t/reply", 0, ""), ("t/in", 1, ""))


def test_a_cycle_is_named_node_by_node() -> None:
    """The message shows the way round (defect 36)."""
    a: Written = {"id": "a", "type": "library", "library": "pipelib_x", "inputs": ["in", "b"]}
    b: Written = {"id": "b", "type": "library", "library": "pipelib_x", "inputs": ["a"]}
    (message,) = problems(SUB, a, b, PUB).values()
    assert "a -> b -> a" in message


def test_a_node_that_feeds_itself_is_a_cycle() -> None:
    """The shortest cycle is found too."""
    (message,) = problems(SUB, {**PUB, "inputs": ["in", "out"]}).values()
    assert "out -> out" in message


def test_every_problem_is_listed_at_once() -> None:
    """One look at the message is enough to mend the whole file."""
    found = problems(
        {**SUB, "topic": "t/#/in"},
        {"id": "a", "type": "modle", "inputs": ["in"]},
        {"id": "b", "type": "model", "model": "no model!", "features": [], "inputs": ["in"]},
        {"id": "c", "type": "library", "library": "flower", "inputs": ["in", "nobody"]},
        {"id": "d", "type": "mqtt_pub", "topic": "t/+", "retian": True, "inputs": ["in"]},
        {"id": "e", "type": "model", "inputs": ["in", "in"]},
    )
    assert set(found) == {
        "nodes[0].topic",
        "nodes[1].type",
        "nodes[2].model",
        "nodes[2].features",
        "nodes[3].library",
        "nodes[3].inputs",
        "nodes[4].topic",
        "nodes[4].retian",
        "nodes[5].model",
        "nodes[5].inputs",
    }
    assert "did you mean model?" in found["nodes[1].type"]
    assert "'a'" in found["nodes[1].type"]
    assert "'nobody'" in found["nodes[3].inputs"]


@pytest.mark.parametrize(
    ("nodes", "where", "says"),
    [
        ([SUB, {**PUB, "inputs": []}], "nodes[1].inputs", "no message ever comes here"),
        ([SUB, PUB, {**SUB, "id": "alone", "topic": "t/alone"}], "nodes[2]", "goes nowhere"),
        ([SUB, PUB, {**SUB, "id": "two", "topic": "t/+"}], "nodes[2].topic", "subscribe once"),
        ([SUB, {**PUB, "topic": "t/in"}], "nodes[1].topic", "answer itself for ever"),
        ([{**SUB, "topic": "tidemill/x"}, PUB], "nodes[0].topic", "Tidemill's own"),
        (
            [SUB, {**SUB, "id": "b", "topic": "b"}, {**PUB, "inputs": ["in", "b"]}],
            "nodes[2].inputs",
            "a run of its own",
        ),
    ],
)
def test_what_hangs_together_wrongly_is_refused(nodes: list[Written], where: str, says: str) -> None:
    """Nodes that no message reaches, or that would feed themselves, are found before anything runs."""
    found = problems(*nodes)
    assert says in found[where]


def test_a_pipeline_does_not_take_its_own_dead_letters() -> None:
    """A failing message must not come back as a new one."""
    assert "dead letters" in problems({**SUB, "topic": "p/#"}, PUB)["nodes[0].topic"]
    assert "dead letters" in problems(SUB, PUB, dead_letter_topic="t/in")["nodes[0].topic"]


@pytest.mark.parametrize(
    ("node", "where", "says"),
    [
        ({**SUB, "timeout_s": 60}, "nodes[0].timeout_s", "means nothing on a node without inputs"),
        ({**SUB, "correlate": "a"}, "nodes[0].correlate", "means nothing on a node without inputs"),
        ({**SUB, "correlate_with": "a", "correlate": "b"}, "nodes[0].correlate_with", "on a node without inputs"),
        ({**REPLY, "order_by": "a"}, "nodes[2].order_by", "means nothing on a node with inputs: write it on the root"),
        ({**REPLY, "correlate_with": "a"}, "nodes[2].correlate_with", "means nothing without `correlate`"),
        ({**WINDOW, "count": 10, "every": "1s"}, "nodes[2].every", "with `count`, a number of rows"),
        ({**WINDOW, "count": 10, "size": "1s"}, "nodes[2]", "either a `size`, such as 10s, or a `count` of rows"),
        ({**WINDOW, "size": "1s", "ahead": "1s"}, "nodes[2]", "ahead: rows are only ahead of the clock with a `time`"),
    ],
)
def test_a_parameter_that_would_mean_nothing_is_refused(node: Written, where: str, says: str) -> None:
    """Nobody relies on what is not done: it is told where it stands."""
    nodes = [node, PUB] if node["id"] == "in" else [SUB, PUB, node]
    assert says in problems(*nodes)[where]


@pytest.mark.parametrize(
    "node",
    [
        {**SUB, "order_by": "a"},
        {**SUB, "correlate": None, "correlate_with": None, "order_by": None},
        {**REPLY, "timeout_s": 5, "correlate": "a", "correlate_with": "b", "order_by": None},
        {**WINDOW, "count": 10, "every": 2},
        {**WINDOW, "size": "10s", "every": "2s"},
        {**WINDOW, "size": "10s", "time": "ts", "ahead": "1h"},
    ],
)
def test_a_parameter_that_means_something_is_taken(node: Written) -> None:
    """And so is one that is null, which is the same as none."""
    assert compiled(*([node, PUB] if node["id"] == "in" else [SUB, PUB, node]))
