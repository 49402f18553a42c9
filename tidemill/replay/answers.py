"""What came of each message that a pipeline was given, and the file that it is kept in: one message a line, as JSON."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveInt, ValidationError

from schemas.errors import BadInput, NotFound
from schemas.payload_text import Encoding, as_bytes, as_text


class Answer(BaseModel):
    """A message that the pipeline published."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    topic: str
    payload: str
    encoding: Encoding = "text"

    @classmethod
    def of(cls, topic: str, payload: bytes) -> "Answer":
        """An answer with these bytes."""
        text, encoding = as_text(payload)
        return cls(topic=topic, payload=text, encoding=encoding)

    @property
    def message(self) -> bytes:
        """The payload's bytes."""
        return as_bytes(self.payload, self.encoding)


class Failure(BaseModel):
    """Why a message has become a dead letter."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    node: str
    reason: str


class Outcome(BaseModel):
    """What came of one message."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    number: PositiveInt  # of the message in its recording
    topic: str  # that it came on
    answers: tuple[Answer, ...] = ()
    failure: Failure | None = None
    latency_ms: NonNegativeFloat = 0.0  # until the last answer was published


def read_outcomes(path: Path) -> Iterator[Outcome]:
    """The outcomes that a file holds.

    Raises:
        NotFound: there is no such file.
        BadInput: naming the line that is no outcome.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield Outcome.model_validate_json(line)
                except ValidationError as error:
                    first = error.errors(include_url=False)[0]
                    place = ".".join(str(part) for part in first["loc"])
                    raise BadInput(f"{path}:{number}: no answers to a message: {place} {first['msg']}") from error
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}") from error
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from error
