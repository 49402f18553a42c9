"""JSON Schema in words, for the pages that are made from it. Pure."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.names import DURATION_PATTERN

Schema = Mapping[str, Any]

_PLAIN = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`"}


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a document, at whatever depth."""

    path: str  # such as labels, or outputs[].name
    kind: str
    default: str
    description: str


def keys_of(schema: Schema, definitions: Schema) -> list[Key]:
    """The keys of an object, each followed by those inside it; what holds itself is not gone into again."""
    found: dict[str, Key] = {}
    for key in _keys(schema, definitions, before="", above=()):
        found.setdefault(key.path, key)  # of alternatives the first that has it
    return list(found.values())


def _keys(schema: Schema, definitions: Schema, *, before: str, above: tuple[str, ...]) -> Iterator[Key]:
    needed = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        path = f"{before}{name}"
        default = "needed" if name in needed else default_words(field.get("default"))
        description = field.get("description", "")
        yield Key(path, kind_words(field, definitions), default, description)
        for suffix, place in _inside(field):
            if place not in above:
                yield from _keys(definitions[place], definitions, before=f"{path}{suffix}.", above=(*above, place))


def _inside(field: Schema) -> Iterator[tuple[str, str]]:
    """The definitions that a field refers to, and how what is in them is written behind its name."""
    if "$ref" in field:
        yield "", _place(field)
    for part in (*field.get("anyOf", ()), *field.get("oneOf", ()), *field.get("allOf", ())):
        yield from _inside(part)
    for suffix, key in (("[]", "items"), (".*", "additionalProperties")):
        if isinstance(field.get(key), Mapping):
            yield from ((suffix + more, place) for more, place in _inside(field[key]))
    for part in field.get("patternProperties", {}).values():
        yield from ((f".*{more}", place) for more, place in _inside(part))


def kind_words(field: Schema, definitions: Schema) -> str:
    """What may stand there."""
    if "$ref" in field:
        return kind_words(definitions[_place(field)], definitions)
    if "const" in field or "enum" in field:
        return " or ".join(f"`{_written(value)}`" for value in field.get("enum", [field.get("const")]))
    alternatives = [part for key in ("anyOf", "oneOf", "allOf") for part in field.get(key, ())]
    if any(part.get("pattern") == DURATION_PATTERN for part in alternatives):
        return "duration"
    if alternatives:
        kinds = (kind_words(part, definitions) for part in alternatives if part.get("type") != "null")
        return " or ".join(dict.fromkeys(kinds))
    return _simple(field, definitions)


def _simple(field: Schema, definitions: Schema) -> str:
    match field.get("type"):
        case "array":
            items = field.get("items") or next(iter(field.get("prefixItems", ())), None)
            return f"list of {kind_words(items, definitions)}" if items else "list"
        case "object":
            values = [field.get("additionalProperties"), *field.get("patternProperties", {}).values()]
            kinds = [kind_words(value, definitions) for value in values if isinstance(value, Mapping) and value]
            return f"mapping to {kinds[0]}" if kinds and "properties" not in field else "mapping"
        case str(plain):
            return _PLAIN.get(plain, plain)
    return "any value"


def default_words(value: object) -> str:
    """What a key is when it is not written."""
    return "none" if value in (None, [], {}, "") else f"`{_written(value)}`"


def _place(field: Schema) -> str:
    return str(field["$ref"]).removeprefix("#/$defs/")


def _written(value: object) -> str:
    if isinstance(value, str):
        return value
    return f"{value:g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
