"""What node types say of themselves: their examples, their schema, their page."""

from pathlib import Path
from typing import Any

import pytest

from pipeline_runtime.builtin import builtin_types
from pipeline_runtime.catalog import node_schema, with_node_types
from pipeline_runtime.compiling.graph import compile as compile_graph
from pipeline_runtime.node_type import NodeType
from schemas.export import json_schema
from schemas.pipelines import NodeSpec, PipelineSpec
from tidemill.nodes_page import example_of, page, params_of, undescribed

PAGE = Path(__file__).parents[2] / "docs" / "nodes.md"
TYPES = pytest.mark.parametrize("node_type", list(builtin_types()), ids=lambda node_type: node_type.name)


def around(node_type: NodeType[Any]) -> PipelineSpec:
    """The smallest pipeline with a type's example in it."""
    node = example_of(node_type)
    sources = list(dict.fromkeys(ref.split(".")[0] for ref in node.inputs))
    nodes: list[dict[str, object]] = []
    if sources:
        nodes.append({"id": "root", "type": "mqtt_sub", "topic": "around/root"})
    nodes += [{"id": source, "type": "mqtt_pub", "topic": f"around/{source}", "inputs": ["root"]} for source in sources]
    branches = node_type.branches(params_of(node_type))
    behind = [f"{node.id}.{branch}" for branch in branches] or [node.id]
    nodes += [
        {"id": f"after{number}", "type": "mqtt_pub", "topic": f"around/after/{number}", "inputs": [ref]}
        for number, ref in enumerate(behind)
    ]
    return PipelineSpec(name="around", nodes=(*map(NodeSpec.model_validate, nodes), node))


@TYPES
def test_each_example_compiles(node_type: NodeType[Any]) -> None:
    """In the smallest pipeline that it fits into, a type's example is right as it stands."""
    plan = compile_graph(around(node_type), builtin_types())
    assert node_type.name in {step.type.name for step in plan.steps}


@TYPES
def test_each_example_fits_its_schema(node_type: NodeType[Any]) -> None:
    """The schema of a type's nodes has every key of the example, and wants none that it lacks."""
    schema = node_schema(node_type)
    written = example_of(node_type).model_dump(exclude_unset=True)
    assert schema["properties"]["type"]["const"] == node_type.name == written["type"]
    assert set(schema["required"]) <= written.keys() <= schema["properties"].keys()
    assert schema["additionalProperties"] is False
    assert set(NodeSpec.model_fields) <= schema["properties"].keys()


@pytest.mark.parametrize("document", ["pipeline", "fleet-document", "fleet"])
def test_documents_with_pipelines_have_the_types(document: str) -> None:
    """In each document that may hold pipelines a node is of one of the types, and every reference leads somewhere."""
    schema = with_node_types(json_schema(document), builtin_types())
    node = schema["$defs"]["NodeSpec"]
    assert set(node["discriminator"]["mapping"]) == set(builtin_types().names)
    assert {one["$ref"] for one in node["oneOf"]} == set(node["discriminator"]["mapping"].values())
    assert {place.removeprefix("#/$defs/") for place in references(schema)} <= schema["$defs"].keys()


def test_a_document_without_pipelines_stays_as_it_is() -> None:
    """A job has no nodes, and its schema tells of none."""
    assert with_node_types(json_schema("job"), builtin_types()) == json_schema("job")


def references(schema: object) -> set[str]:
    """Every place that a schema refers to."""
    if isinstance(schema, dict):
        own = {schema["$ref"]} if isinstance(schema.get("$ref"), str) else set()
        return own.union(*(references(part) for part in schema.values()))
    return set().union(*(references(part) for part in schema)) if isinstance(schema, list) else set()


def test_the_page_is_what_the_types_say() -> None:
    """The page in the repository is the one that the types make; `make pages` writes it."""
    assert PAGE.read_text(encoding="utf-8") == page(builtin_types())


def test_every_parameter_says_what_it_is() -> None:
    """Page, schema and forms have nothing to show of a parameter without a description."""
    assert undescribed(builtin_types()) == []
