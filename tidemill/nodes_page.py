"""The page `docs/nodes.md`, made from what the node types say of themselves: ``python -m tidemill.nodes_page FILE``."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pipeline_runtime.builtin import builtin_types
from pipeline_runtime.catalog import node_schema
from pipeline_runtime.node_type import NodeType, Registry
from schemas.pipelines import NodeSpec
from tidemill.schema_words import Key, keys_of
from tidemill.yaml_places import parse

_HEAD = """\
# Node types

This page is made from the node types themselves: `make pages` writes it anew. What a message goes through is in
[pipelines](pipelines.md). `tidemill schema pipeline` prints the same for editors, with the types that
[packages of your own](node_packages.md) add.

A *duration* is a number of seconds, or text such as `30s`, `1.5h`.
"""
_COMMON = "## Every node\n\nBeside the parameters of its type, each node has these keys."


def page(registry: Registry) -> str:
    """The page about these types."""
    common = NodeSpec.model_json_schema()
    every = _table("key", keys_of(common, common.get("$defs", {})))
    parts = [_HEAD, f"{_COMMON}\n\n{every}"]
    parts += ["\n\n".join(_about(node_type)) for node_type in sorted(registry, key=lambda node_type: node_type.name)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _about(node_type: NodeType[Any]) -> Iterator[str]:
    yield f"## {node_type.name}"
    yield node_type.doc
    yield f"```yaml\n{node_type.example.strip()}\n```"
    remarks = " ".join(_remarks(node_type))
    if remarks:
        yield remarks
    if keys := _own_keys(node_type):
        yield _table("parameter", keys)


def _own_keys(node_type: NodeType[Any]) -> list[Key]:
    """The parameters of a type, without the keys that every node has."""
    schema = node_schema(node_type)
    own = {**schema, "properties": {name: schema["properties"][name] for name in node_type.params.model_fields}}
    return keys_of(own, schema["$defs"])


def _remarks(node_type: NodeType[Any]) -> Iterator[str]:
    if node_type.starts_runs:
        yield "May stand without inputs: each of its messages then begins a run."
    branches = node_type.branches(params_of(node_type))
    if branches:
        yield f"Has branches, in the example {_listed(branches)}: an input behind one is written `id.branch`."
    if node_type.may_skip:
        yield "May skip what is behind it."
    if node_type.keeps_state:
        yield "Keeps what it must not lose on the edge's disk."


def params_of(node_type: NodeType[Any]) -> Any:  # noqa: ANN401 - whatever the type's parameters are
    """The parameters of the type's example."""
    return node_type.params.model_validate(example_of(node_type).params)


def example_of(node_type: NodeType[Any]) -> NodeSpec:
    """The type's example. Raises BadInput or ValidationError when it is no node."""
    return NodeSpec.model_validate(parse(node_type.example, f"the example of {node_type.name}"))


def _listed(names: Iterable[str]) -> str:
    return " and ".join(f"`{name}`" for name in names)


def _table(first: str, keys: Iterable[Key]) -> str:
    lines = [f"| {first} | type | default | what it is |", "|---|---|---|---|"]
    lines += [f"| `{key.path}` | {_cell(key.kind)} | {_cell(key.default)} | {_cell(key.description)} |" for key in keys]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def undescribed(registry: Registry) -> list[str]:
    """The parameters that do not say what they are, such as ``model.features``."""
    return [
        f"{node_type.name}.{key.path}" for node_type in registry for key in _own_keys(node_type) if not key.description
    ]


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(builtin_types()), encoding="utf-8")
