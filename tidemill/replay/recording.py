"""A recording: a file with one message a line, as JSON, in the order in which they came."""

import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Annotated, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.errors import BadInput, Conflict, NotFound
from schemas.payload_text import Encoding, as_bytes, as_text


class Recorded(BaseModel):
    """A message, and when it came."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    at: AwareDatetime
    topic: Annotated[str, Field(min_length=1, max_length=65_535)]
    payload: str
    encoding: Encoding = "text"
    qos: Annotated[int, Field(ge=0, le=2)] = 1
    retain: bool = False  # the broker had kept it from before

    @classmethod
    def of(cls, topic: str, payload: bytes, at: datetime, *, qos: int, retain: bool) -> "Recorded":
        """A message as a broker brings it. Not checked: it comes a thousand times a second."""
        text, encoding = as_text(payload)
        return cls.model_construct(at=at, topic=topic, payload=text, encoding=encoding, qos=qos, retain=retain)

    @model_validator(mode="after")
    def _readable(self) -> "Recorded":
        _ = self.message
        return self

    @property
    def message(self) -> bytes:
        """The payload's bytes."""
        return as_bytes(self.payload, self.encoding)


class RecordingWriter:
    """Writes a new recording; use it as a context manager."""

    def __init__(self, path: Path) -> None:
        """Make the file. Raises Conflict when it is there, BadInput when it cannot be made."""
        self.count = self.size_bytes = 0
        try:
            self._file = path.open("xb")
        except FileExistsError as error:
            raise Conflict(f"{path} is there already: name another file, or delete it") from error
        except OSError as error:
            raise BadInput(f"{path} cannot be written: {error.strerror}") from error

    def write(self, recorded: Recorded) -> None:
        """Add a message; it is on the disk after the next ``sync``."""
        self.count += 1
        self.size_bytes += self._file.write(recorded.model_dump_json().encode() + b"\n")

    def sync(self) -> None:
        """Return when everything is on the disk. Blocks. Raises OSError when the disk does not take it."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._file.close()


def read_recording(path: Path, tell: Callable[[str], None]) -> Iterator[Recorded]:
    """The messages of a recording, in order. A last line that was cut off in writing is passed over, and told.

    Raises:
        NotFound: there is no such file.
        BadInput: naming the line that is no message.
    """
    for number, line, whole in _lines(path):
        try:
            yield Recorded.model_validate_json(line)
        except ValidationError as error:
            if not whole:
                return tell(f"{path}:{number}: the last line was cut off, and is passed over")
            first = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise BadInput(f"{path}:{number}: no recorded message: {place} {first['msg']}") from error
    return None


def _lines(path: Path) -> Iterator[tuple[int, bytes, bool]]:
    """Number, text, and whether the line has its end."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line, line.endswith(b"\n")
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}") from error
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from error
