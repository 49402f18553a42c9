"""Which keys a document may have at a place: what an unknown one may have been meant for. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]


def keys_at(schema: Schema, place: Iterable[int | str] = ()) -> tuple[str, ...]:
    """The keys that a document has a word for there, in the order of its fields; none where any may stand.

    Args:
        schema: the document's JSON Schema, as pydantic makes it.
        place: of the mapping that the keys stand in. Among documents of several kinds it begins with the kind.
    """
    definitions = schema.get("$defs", {})
    here = list(_alternatives(schema, definitions))
    for part in place:
        here = [one for above in here for below in _below(above, part) for one in _alternatives(below, definitions)]
    return tuple(dict.fromkeys(key for one in here for key in one.get("properties", {})))


def _alternatives(schema: Schema, definitions: Schema) -> Iterator[Schema]:
    """The schema, and all that it leaves a choice of."""
    yield schema
    if "$ref" in schema:
        yield from _alternatives(definitions[_name(schema["$ref"])], definitions)
    for part in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from _alternatives(part, definitions)


def _below(schema: Schema, part: int | str) -> Iterator[Schema]:
    if isinstance(part, int):
        inner = [schema.get("items")]
    elif part in schema.get("properties", {}):
        inner = [schema["properties"][part]]
    elif part in schema.get("discriminator", {}).get("mapping", {}):
        inner = [{"$ref": schema["discriminator"]["mapping"][part]}]
    else:
        inner = [schema.get("additionalProperties"), *schema.get("patternProperties", {}).values()]
    yield from (found for found in inner if isinstance(found, Mapping))


def _name(reference: str) -> str:
    return reference.removeprefix("#/$defs/")
