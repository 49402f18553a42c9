"""Says what is wrong with a request and where, in the words of who wrote it rather than in pydantic's."""

from typing import Any

from fastapi.exceptions import RequestValidationError

from schemas.mistakes import mistake_text, node_text, own_mistakes, place_of, place_text
from schemas.views import FieldError


def field_errors(error: RequestValidationError) -> tuple[FieldError, ...]:
    """Each mistake with its place, such as ``documents[2].queries[0].query``."""
    unread = isinstance(error.body, bytes)
    return tuple(
        FieldError(where=_place_text(place), message=node_text(place, error.body) + _message(mistake, unread=unread))
        for mistake in own_mistakes(error.errors())
        for place in [_place(mistake["loc"])]
    )


def _message(mistake: dict[str, Any], *, unread: bool) -> str:
    """One mistake.

    Args:
        mistake: as pydantic tells it.
        unread: the body was not looked at, since nothing said that it is JSON.
    """
    if unread and mistake["loc"] == ("body",):
        return "should be JSON, sent with `Content-Type: application/json`"
    match mistake["type"]:
        case "json_invalid":
            return f"not JSON: {mistake['ctx']['error']} (character {mistake['loc'][-1]})"
        case "union_tag_not_found":
            return "has no kind"
        case _:
            return mistake_text(mistake)


def _place(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    parts = list(loc[1:] if loc and loc[0] in {"body", "query", "path"} else loc)
    if len(loc) == 2 and loc[0] == "body" and isinstance(loc[1], int):
        return ()  # the place in a text that is no JSON is in the message
    if len(parts) > 2 and parts[0] == "documents":
        del parts[2]  # the kind, which tells pydantic's candidates apart and stands nowhere in the document
    return place_of(parts)


def _place_text(place: tuple[int | str, ...]) -> str:
    return place_text(place) or "body"
