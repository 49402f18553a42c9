"""A table of rows and the MQTT topics that fill it."""

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from schemas.names import Identifier
from schemas.topics import check_filter
from schemas.written import Written


class ColumnType(StrEnum):
    """What a column holds."""

    TEXT = "text"  #: a string
    INTEGER = "integer"  #: a whole number of at most 64 bits
    REAL = "real"  #: a finite number
    BOOLEAN = "boolean"  #: true or false
    TIMESTAMP = "timestamp"  #: ISO 8601 with an offset, kept as UTC
    JSON = "json"  #: any JSON value, kept as text


ADDED_COLUMNS = ("position", "created")
"""Every collection has these: a number that only grows, and the UTC time at which the row came."""


class CollectionSpec(Written):
    """A collection: its declared columns, and the topics whose payloads are its rows."""

    name: Identifier
    columns: Annotated[dict[Identifier, ColumnType], Field(min_length=1, max_length=500)]
    required: tuple[Identifier, ...] = ()  # a row without these is rejected; the others may be null
    topics: tuple[Annotated[str, AfterValidator(check_filter)], ...] = ()

    @field_validator("columns")
    @classmethod
    def _none_is_added_twice(cls, columns: dict[str, ColumnType]) -> dict[str, ColumnType]:
        lowered = [name.lower() for name in columns]
        if len(set(lowered)) != len(lowered):
            raise ValueError("two columns differ by case only, which SQL does not tell apart")
        for name in ADDED_COLUMNS:
            if name in lowered:
                raise ValueError(f"the column {name!r} is added to every collection and cannot be declared")
        return columns

    @field_validator("required")
    @classmethod
    def _required_exist(cls, required: tuple[str, ...], info: object) -> tuple[str, ...]:
        declared = getattr(info, "data", {}).get("columns", {})
        for name in required:
            if name not in declared:
                raise ValueError(f"required column {name!r} is not declared")
        return required
