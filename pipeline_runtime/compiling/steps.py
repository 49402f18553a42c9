"""Turns what a person wrote of a node into a step with checked parameters."""

from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pipeline_runtime.compiling.plan import Source, Step
from pipeline_runtime.compiling.problems import Finding
from pipeline_runtime.node_type import Links, NodeType, Registry
from schemas.known_keys import keys_at
from schemas.mistakes import mistake_text, own_mistakes, place_of, place_text
from schemas.pipelines import NodeSpec, OnError


def read_step(node: NodeSpec, registry: Registry, on_error: OnError) -> Step | list[Finding]:
    """The node as a step, or everything that is wrong with its type and its parameters."""
    node_type = registry.get(node.type)
    if node_type is None:
        return [Finding(node.id, "type", f"there is no node type {node.type!r}; {_what_to_do(node.type, registry)}")]
    try:
        params = node_type.params.model_validate(node.params)
    except ValidationError as error:
        return [_finding(node, node_type, fault) for fault in own_mistakes(error.errors(include_url=False))]
    inputs = tuple(Source(*ref.split(".")) for ref in node.inputs)
    return Step(node.id, node_type, params, inputs, node.join or "all", node.on_error or on_error)


def links_of(node: NodeSpec, registry: Registry) -> Links:
    """What a node refers to; nothing, if it is of a type that is not here any more, or means nothing to it."""
    node_type = registry.get(node.type)
    try:
        return node_type.params.model_validate(node.params).links() if node_type else Links()
    except ValidationError:
        return Links()


def _what_to_do(name: str, registry: Registry) -> str:
    """What helps somebody who wrote a type that is not there."""
    if name in registry.refused:
        return registry.refused[name]
    close = get_close_matches(name, registry.names, n=1)
    meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(registry.names)}."
    return f"{meant} If a package adds it, install the package on the controller and on the edges, and restart them"


def _finding(node: NodeSpec, node_type: NodeType[Any], fault: ErrorDetails) -> Finding:
    """What is wrong with a parameter, told as what is wrong with the keys of every node is."""
    place = place_of(fault["loc"])
    known = keys_at(node_type.params.model_json_schema(), place[:-1])
    if len(place) == 1:
        known += tuple(NodeSpec.model_fields)  # stand beside the parameters, and are mistyped as often
    return Finding(node.id, place_text(place), mistake_text(fault, known))
