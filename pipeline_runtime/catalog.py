"""What editors, forms and pages know of node types: JSON Schema with the parameters of each, made from a registry."""

from typing import Any

from pipeline_runtime.node_type import NodeType, Registry
from schemas.pipelines import NodeSpec

Schema = dict[str, Any]

_ANY_NODE = NodeSpec.__name__  # as pydantic names it among the definitions of a document


def node_schema(node_type: NodeType[Any]) -> Schema:
    """The JSON Schema of one node of a type, complete in itself."""
    schema = NodeSpec.model_json_schema()
    node, definitions = _node(node_type, schema["properties"])
    return {**node, "$defs": {**schema.get("$defs", {}), **definitions}}


def with_node_types(schema: Schema, registry: Registry) -> Schema:
    """The JSON Schema of a document that may hold pipelines, with nodes of these types in place of any nodes."""
    definitions: Schema = dict(schema.get("$defs", {}))
    common = definitions.get(_ANY_NODE, {}).get("properties")
    if common is None:
        return schema
    places = {}
    for node_type in registry:
        place = f"node.{node_type.name}"  # no document's own definition has a dot in its name
        node, inner = _node(node_type, common)
        definitions |= {place: node, **inner}
        places[node_type.name] = f"#/$defs/{place}"
    definitions[_ANY_NODE] = {
        "title": "Node",
        "oneOf": [{"$ref": place} for place in places.values()],
        "discriminator": {"propertyName": "type", "mapping": places},
    }
    return {**schema, "$defs": definitions}


def _node(node_type: NodeType[Any], common: Schema) -> tuple[Schema, Schema]:
    """The schema of a node, and the definitions that it refers to beside those of ``common``."""
    own = node_type.params.model_json_schema(ref_template=f"#/$defs/{node_type.name}.{{model}}")
    definitions = {f"{node_type.name}.{name}": inner for name, inner in own.pop("$defs", {}).items()}
    first = {"id": common["id"], "type": {**common["type"], "const": node_type.name}}
    last = {key: field for key, field in common.items() if key not in first}
    node = {
        **own,
        "title": node_type.name,
        "description": node_type.doc,
        "properties": {**first, **own.get("properties", {}), **last},
        "required": [*first, *own.get("required", ())],
    }
    return node, definitions
