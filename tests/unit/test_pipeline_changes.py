"""What is told of the difference between two versions of a pipeline."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas.pipeline_changes import FieldChange, PipelineChanges, changes_between
from schemas.pipelines import NodeSpec, PipelineSpec

Written = dict[str, Any]

IN: Written = {"id": "in", "type": "mqtt_sub", "topic": "a"}
ASK: Written = {"id": "ask", "type": "model", "model": "iris", "inputs": ["in"]}
OUT: Written = {"id": "out", "type": "mqtt_pub", "topic": "b", "inputs": ["ask"]}


def spec(*nodes: Written, **options: object) -> PipelineSpec:
    """A pipeline of these nodes."""
    return PipelineSpec.model_validate({"name": "p", "nodes": nodes, **options})


BEFORE = spec(IN, ASK, OUT)


def test_nothing_is_different() -> None:
    """A version differs in nothing from itself."""
    assert changes_between(BEFORE, BEFORE) == PipelineChanges()


def test_nodes_come_and_go() -> None:
    """A node with another id is one that is gone and one that is new, whole."""
    changes = changes_between(BEFORE, spec(IN, {**ASK, "id": "predict"}, {**OUT, "inputs": ["predict"]}))
    assert [node.id for node in changes.removed] == ["ask"]
    assert [(node.id, node.params) for node in changes.added] == [("predict", {"model": "iris"})]
    assert [change.node for change in changes.changed] == ["out"]


def test_each_parameter_is_told() -> None:
    """Parameters, inputs and what happens on errors are told one by one, also inside mappings; None is not there."""
    retried = {**ASK, "model": "iris@candidate", "features": ["x"], "on_error": {"retry": 3}}
    (ask,) = changes_between(spec(IN, {**ASK, "on_error": {"retry": 1}}, OUT), spec(IN, retried, OUT)).changed
    assert ask.node == "ask"
    assert set(map(str, ask.fields)) == {
        str(FieldChange(field="model", before="iris", after="iris@candidate")),
        str(FieldChange(field="features", before=None, after=["x"])),
        str(FieldChange(field="on_error.retry", before=1, after=3)),
    }


def test_options_are_told_apart_from_drawing() -> None:
    """What the pipeline says of errors and queues changes it; where its nodes are drawn does not."""
    changes = changes_between(BEFORE, spec(IN, ASK, OUT, queue={"in_flight": 8}, layout={"in": {"x": 1, "y": 2}}))
    assert changes.options == (FieldChange(field="queue.in_flight", before=64, after=8),)
    assert changes.moved == ("in",)
    assert changes.changes_answers
    assert not changes_between(BEFORE, spec(IN, ASK, OUT, layout={"in": {"x": 1, "y": 2}})).changes_answers


def test_another_order_is_told() -> None:
    """Nodes that nothing else puts in order run as they are written."""
    assert changes_between(BEFORE, spec(OUT, IN, ASK)) == PipelineChanges(reordered=True)


ids = st.sampled_from(["a", "b", "c", "d"])
values = st.none() | st.integers(0, 2) | st.dictionaries(st.sampled_from("xy"), st.integers(0, 2))
nodes = st.builds(
    lambda inputs, params: {"type": "t", "inputs": sorted(inputs), **params},
    st.sets(ids, max_size=2),
    st.dictionaries(st.sampled_from(["p", "q"]), values),
)
specs = st.dictionaries(ids, nodes, min_size=1).map(
    lambda found: spec(*({"id": node_id, **node} for node_id, node in found.items()))
)


@given(specs, specs)
def test_what_is_told_makes_the_one_into_the_other(old: PipelineSpec, new: PipelineSpec) -> None:
    """Nothing is left out: the changes, carried out on the old version, give the new one."""
    changes = changes_between(old, new)
    found = {node.id: node.model_dump(exclude_none=True) for node in old.nodes}
    for node in changes.removed:
        del found[node.id]
    found |= {node.id: node.model_dump(exclude_none=True) for node in changes.added}
    for change in changes.changed:
        for field in change.fields:
            put(found[change.node], field.field.split("."), field.after)
    assert {node_id: plain(node) for node_id, node in found.items()} == {node.id: plain(node) for node in new.nodes}


def put(document: Written, path: list[str], value: object) -> None:
    """Set a key, or remove it."""
    for part in path[:-1]:
        document = document[part]
    document.pop(path[-1], None)
    if value is not None:
        document[path[-1]] = value


def plain(node: NodeSpec | Written) -> Written:
    """A node as JSON has it."""
    return NodeSpec.model_validate(node if isinstance(node, dict) else node.model_dump()).model_dump(
        mode="json", exclude_none=True
    )
