"""Turns what a person wrote of a node into a step with checked parameters."""

from difflib import get_close_matches

from pydantic import ValidationError

from pipeline_runtime.compiling.plan import Source, Step
from pipeline_runtime.compiling.problems import Finding
from pipeline_runtime.node_type import Links, Registry
from schemas.pipelines import NodeSpec, OnError


def read_step(node: NodeSpec, registry: Registry, on_error: OnError) -> Step | list[Finding]:
    """The node as a step, or everything that is wrong with its type and its parameters."""
    node_type = registry.get(node.type)
    if node_type is None:
        return [Finding(node.id, "type", f"there is no node type {node.type!r}; {_what_to_do(node.type, registry)}")]
    try:
        params = node_type.params.model_validate(node.params)
    except ValidationError as error:
        known = ", ".join(node_type.params.model_fields)
        return [_finding(node.id, dict(fault), known) for fault in error.errors(include_url=False)]
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


def _finding(node_id: str, fault: dict[str, object], known: str) -> Finding:
    place = fault["loc"] if isinstance(fault["loc"], tuple) else ()
    field = ".".join(str(part) for part in place)
    if fault["type"] == "extra_forbidden":
        return Finding(node_id, field, f"{field!r} is no parameter of this type; it has {known}")
    if fault["type"] == "missing":
        return Finding(node_id, field, f"{field!r} is missing")
    return Finding(node_id, field, str(fault["msg"]).removeprefix("Value error, "))
