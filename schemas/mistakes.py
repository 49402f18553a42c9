"""What is wrong with a document, in the words of who wrote it rather than in pydantic's. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

Part = int | str


def kind_tag(kind: str) -> str:
    """How a kind of something is tagged among several, so that the tag is told from the document's own keys."""
    return f"({kind})"


def place_of(loc: Iterable[Part]) -> tuple[Part, ...]:
    """Where in the document, without what pydantic puts between: tags, and validators that look first."""
    return tuple(part for part in loc if isinstance(part, int) or not part.startswith(("function-", "(", "[key]")))


def place_text(place: Iterable[Part]) -> str:
    """A place as people write it, such as ``queries[0].query``; empty for the whole document."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def mistake_text(mistake: Mapping[str, Any]) -> str:
    """What is wrong there, and what belongs there instead.

    Args:
        mistake: One of a ValidationError's ``errors()``.
    """
    kind, given = mistake["type"], mistake.get("input")
    match kind:
        case "extra_forbidden":
            return "no such key"
        case "missing":
            return "is needed"
        case "tuple_type":
            return "is no list: write [one, another], or each in a line of its own behind a dash"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "is no mapping of keys to values"
        case "string_type" if isinstance(given, bool | int | float):
            return f"{given} is no text; put it in quotes"
        case "timezone_aware" | "datetime_from_date_parsing" | "datetime_parsing" | "datetime_type":
            return f"{str(given)!r} is no moment; write it with its zone, such as 2027-01-31T03:00:00Z"
        case "string_pattern_mismatch":
            return f"{given!r} does not fit {mistake['ctx']['pattern']}"
        case _:
            return str(mistake["msg"]).removeprefix("Value error, ")
