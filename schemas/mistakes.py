"""What is wrong with a document, in the words of who wrote it rather than in pydantic's. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

Part = int | str
Mistake = TypeVar("Mistake", bound=Mapping[str, Any])


def kind_tag(kind: str) -> str:
    """How a kind of something is tagged among several, so that the tag is told from the document's own keys."""
    return f"({kind})"


def place_of(loc: Iterable[Part]) -> tuple[Part, ...]:
    """Where in the document, without what pydantic puts between: tags, and validators that look first."""
    return tuple(part for part in loc if isinstance(part, int) or not part.startswith(("function-", "(", "[key]")))


def place_text(place: Iterable[Part]) -> str:
    """A place as people write it, such as ``queries[0].query``; empty for the whole document."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def node_text(place: Sequence[Part], document: object) -> str:
    """``node 'in': `` for a place inside a node of a pipeline that has an id, whatever document that is in."""
    for depth, part in enumerate(place[:-1]):
        if part == "nodes" and isinstance(place[depth + 1], int):
            node = _at(document, place[: depth + 2])
            return f"node {node['id']!r}: " if isinstance(node, dict) and isinstance(node.get("id"), str) else ""
    return ""


def _at(document: object, place: Iterable[Part]) -> object:
    for part in place:
        if isinstance(document, dict):
            document = document.get(part)
        elif isinstance(document, list) and isinstance(part, int) and part < len(document):
            document = document[part]
        else:
            return None
    return document


def own_mistakes(mistakes: Iterable[Mistake]) -> list[Mistake]:
    """Those that do not only follow from others: pydantic calls a list too short when everything in it is wrong."""
    told = list(mistakes)
    places = [mistake["loc"] for mistake in told]
    return [
        mistake
        for mistake in told
        if mistake["type"] != "too_short"
        or not any(len(place) > len(mistake["loc"]) == _same(place, mistake["loc"]) for place in places)
    ]


def _same(place: Sequence[Part], other: Sequence[Part]) -> int:
    """How many parts two places have in common, from their beginnings."""
    return next((at for at, (one, two) in enumerate(zip(place, other, strict=False)) if one != two), len(other))


def mistake_text(mistake: Mapping[str, Any], known: Sequence[str] = ()) -> str:
    """What is wrong there, and what belongs there instead.

    Args:
        mistake: One of a ValidationError's ``errors()``.
        known: The keys that may stand there, where the caller can tell.
    """
    kind, given = mistake["type"], mistake.get("input")
    match kind:
        case "extra_forbidden":
            return f"no such key{_instead(str(mistake['loc'][-1]), known)}"
        case "missing":
            return "is needed"
        case "tuple_type":
            return "is no list: write [one, another], or each in a line of its own behind a dash"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "is no mapping of keys to values"
        case "too_short":
            return f"needs at least {mistake['ctx']['min_length']}, and has {mistake['ctx']['actual_length']}"
        case "string_type" if isinstance(given, bool | int | float):
            return f"{given} is no text; put it in quotes"
        case "timezone_aware" | "datetime_from_date_parsing" | "datetime_parsing" | "datetime_type":
            return f"{str(given)!r} is no moment; write it with its zone, such as 2027-01-31T03:00:00Z"
        case "string_pattern_mismatch":
            return f"{given!r} does not fit {mistake['ctx']['pattern']}"
        case _:
            return str(mistake["msg"]).removeprefix("Value error, ")


def _instead(key: str, known: Sequence[str]) -> str:
    near = get_close_matches(key, known, n=1)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; there are {', '.join(known)}" if known else ""
