"""What every document that people write has in common."""

from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict

Item = TypeVar("Item")


class Written(BaseModel):
    """What people write: an unknown key is a typing mistake and is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _in_a_list(value: object) -> object:
    return (value,) if isinstance(value, str) else value


OneOrMore = Annotated[tuple[Item, ...], BeforeValidator(_in_a_list, json_schema_input_type=str | tuple[str, ...])]
"""One text, or a list of them."""
