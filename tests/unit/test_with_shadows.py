"""Shadows beside the nodes that ask a model: the pipeline itself stays as it is, whatever it looks like."""

from collections.abc import Mapping

import pytest

from pipeline_runtime.builtin import builtin_types
from pipeline_runtime.compiling.graph import compile as compile_graph
from pipeline_runtime.compiling.shadows import with_shadows
from schemas.pipelines import NodeSpec, PipelineSpec

IN = {"id": "in", "type": "mqtt_sub", "topic": "t/in"}


def spec_of(*nodes: Mapping[str, object], **more: object) -> PipelineSpec:
    """A pipeline."""
    return PipelineSpec.model_validate({"name": "p", "nodes": nodes, **more})


def test_a_shadow_is_asked_what_its_node_is_asked() -> None:
    """Same inputs and parameters, another model, last in the plan; other models' nodes have none."""
    spec = spec_of(
        IN,
        {"id": "predict", "type": "model", "model": "iris", "features": ["a", "b"], "top": 2, "inputs": ["in"]},
        {"id": "other", "type": "model", "model": "iris@candidate", "inputs": ["in"]},
        {"id": "out", "type": "mqtt_pub", "topic": "t/out", "inputs": ["predict"]},
    )
    shadowed = with_shadows(spec, {"iris": "iris:4"})
    assert shadowed.nodes[:4] == spec.nodes
    assert shadowed.nodes[4:] == (
        NodeSpec.model_validate(
            {
                "id": "predict__shadow", "type": "shadow", "model": "iris:4", "features": ["a", "b"], "top": 2,
                "inputs": ["in", "predict"], "against": "predict", "join": "all", "wait": False,
            }
        ),
    )  # fmt: skip
    plan = compile_graph(shadowed, builtin_types())
    assert [step.id for step in plan.steps] == ["in", "predict", "other", "out", "predict__shadow"]
    assert plan.subscriptions == compile_graph(spec, builtin_types()).subscriptions
    assert with_shadows(spec, {}) == spec


@pytest.mark.parametrize("join", ["all", "any", None])
def test_every_pipeline_can_have_shadows(join: str | None) -> None:
    """Branches, inputs that may be skipped, stopping pipelines, and names that are taken or as long as names may be."""
    long = "n" * 63
    routes = {"id": "route", "type": "switch", "routes": {"left": "a > 1", "right": "a < 1"}, "inputs": ["in"]}
    two = {"id": long, "type": "model", "model": "m", "inputs": ["route.left", "route.right"]}
    spec = spec_of(
        IN,
        routes,
        two | {"join": join or "any"},
        {"id": "predict", "type": "model", "model": "m", "inputs": ["route.left"]} | ({"join": join} if join else {}),
        {"id": "predict__shadow", "type": "transform", "expression": "$", "inputs": ["predict"]},
        on_error={"then": "stop"},
    )
    shadowed = with_shadows(spec, {"m": "m:2"})
    added = [node.id for node in shadowed.nodes[5:]]
    assert added == ["n" * 55 + "__shadow", "predict__shadow2"]
    compile_graph(shadowed, builtin_types())
    assert [node.join for node in shadowed.nodes[5:]] == [join or "any", join or "all"]
