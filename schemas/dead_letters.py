"""A message that a pipeline could not answer, as the pipeline's worker publishes it."""

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from schemas.names import Name
from schemas.payload_text import Encoding, as_bytes


class DeadLetter(BaseModel):
    """What came, where it failed, and why."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # workers of other versions write more or less
    payload: str
    encoding: Encoding = "text"
    truncated: bool = False  # the payload was too large for a letter: its first bytes are here
    topic: Annotated[str, Field(max_length=65_535)]  # empty for what a node began of itself
    node: Annotated[str, Field(max_length=100)]
    error: Annotated[str, Field(max_length=10_000)]
    at: AwareDatetime
    pipeline: Name
    version: Annotated[int, Field(ge=0, le=2**31 - 1)]

    @model_validator(mode="after")
    def _readable(self) -> "DeadLetter":
        _ = self.message
        return self

    @property
    def message(self) -> bytes:
        """The bytes that came."""
        return as_bytes(self.payload, self.encoding)
