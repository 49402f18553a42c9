"""Fields inside values, named by paths such as ``reading.sensor``."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import StringConstraints

from schemas.errors import BadPayload

FieldPath = Annotated[str, StringConstraints(pattern=r"^[^.\s]+(\.[^.\s]+)*$", max_length=200)]
"""A field of an object, or of an object in it: ``id``, ``reading.sensor``."""


def field_of(value: object, path: str) -> object:
    """What stands there.

    Raises:
        BadPayload: naming the part of the path that is not there.
    """
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise BadPayload(f"field {path!r} is missing: there is no {part!r}")
        value = value[part]
    return value
