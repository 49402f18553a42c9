"""A job from the options of `job create`, and changes to one from those of `job edit`."""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from schemas.errors import BadInput
from schemas.mistakes import mistake_text, place_of, place_text

if TYPE_CHECKING:
    from pydantic import ValidationError

    from schemas.jobs import JobSpec


def checked(document: object) -> "JobSpec":
    """The job that a document describes.

    Raises:
        BadInput: all that is wrong with it, one line each.
    """
    from pydantic import ValidationError  # noqa: PLC0415 - see the package's first line

    from schemas.jobs import JobSpec  # noqa: PLC0415

    try:
        return JobSpec.model_validate(document)
    except ValidationError as error:
        raise BadInput("\n".join(_mistakes(error))) from error


def _mistakes(error: "ValidationError") -> Iterable[str]:
    for detail in error.errors(include_url=False):
        where = place_text(place_of(detail["loc"]))
        yield f"{where}: {mistake_text(detail)}" if where else mistake_text(detail)


def checked_mapping(document: object) -> dict[str, Any]:
    """The document, if it is a mapping of keys to values. Raises BadInput otherwise."""
    if not isinstance(document, dict):
        raise BadInput("a job is a mapping of keys to values, such as name: retrain")
    return document


def without_nothing(document: Mapping[str, object]) -> dict[str, object]:
    """The document without the options that were not given."""
    return {key: value for key, value in document.items() if value not in (None, [], (), {})}


def set_keys(document: dict[str, Any], changes: Iterable[str]) -> dict[str, Any]:
    """The document with changes such as ``schedule.every=10m`` made; a value is JSON, or else the text as it stands.

    Raises:
        BadInput: a change is not of that form, or goes into something that holds no keys.
    """
    changed: dict[str, Any] = json.loads(json.dumps(document))
    for change in changes:
        key, equals, text = change.partition("=")
        *parents, last = key.split(".")
        if not equals or not last:
            raise BadInput(f"{change!r} is no change; write KEY=VALUE, such as schedule.every=10m")
        place = changed
        for parent in parents:
            if place.get(parent) is None:
                place[parent] = {}
            place = place[parent]
            if not isinstance(place, dict):
                raise BadInput(f"{change!r}: {parent} holds no keys; set it whole, as JSON")
        place[last] = json_or_text(text)
    return changed


def json_or_text(text: str) -> object:
    """A value as people write it behind ``=``: JSON, or else the text as it stands."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
