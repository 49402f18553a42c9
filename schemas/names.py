"""The names things may have, and how files and bytes are referred to."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, NonNegativeInt, StringConstraints

EdgeName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
"""An edge: a topic level and a broker user name, so lower-case letters, digits and dashes."""

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
"""A job, model, pipeline or deployment."""

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]
"""A collection, column, metric or parameter: usable in SQL and as part of a variable's name."""

LibraryName = Annotated[str, StringConstraints(pattern=r"^pipelib_[A-Za-z0-9_]{1,80}$")]
"""A library: an importable Python module with the reference's prefix."""

PublicKey = Annotated[str, StringConstraints(pattern=r"^ed25519:[A-Za-z0-9+/]{43}=$")]
"""A key that signatures are checked with."""

BlobDigest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
"""The name of immutable bytes."""


def _relative_path(path: str) -> str:
    parts = path.split("/")
    if any(part in {"", ".", ".."} or "\x00" in part or "\\" in part for part in parts) or len(path) > 500:
        raise ValueError(f"{path!r} is not a plain relative path such as weights/layer1.bin")
    return path


RelativePath = Annotated[str, AfterValidator(_relative_path)]
"""A file inside a tree of files: no leading slash, no ``..``, no empty part."""


def _file_name(name: str) -> str:
    if "/" in _relative_path(name) or len(name.encode()) > 255:
        raise ValueError(f"{name!r} is not the name of one file, of at most 255 bytes")
    return name


FileName = Annotated[str, AfterValidator(_file_name)]
"""One file's name, as a person gave it: spaces, quotes and any letters are fine."""


class BlobRef(BaseModel):
    """Bytes by their digest, with the size so that disk can be checked before they are fetched."""

    model_config = ConfigDict(frozen=True)
    digest: BlobDigest
    size_bytes: NonNegativeInt


def _from_text(value: object) -> object:
    return {"path": value} if isinstance(value, str) else value


def _last_part(path: str) -> str:
    return path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


def _ends_in_a_file_name(path: str) -> str:
    _file_name(_last_part(path))
    return path


class FileRef(BaseModel):
    """A file that a document names: by path as a person writes it, and by blob once it is uploaded."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    path: Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_ends_in_a_file_name)]
    to: RelativePath | None = None  # where it lies in a tree of files, for one that came out of a folder
    blob: BlobRef | None = None

    @property
    def name(self) -> str:
        """The last part of the path: what the file is called on an edge."""
        return _last_part(self.path)

    @property
    def place(self) -> str:
        """Where it lies in a tree of files."""
        return self.to or self.name


_Path = Annotated[str, Field(min_length=1, max_length=500)]

File = Annotated[FileRef, BeforeValidator(_from_text, json_schema_input_type=FileRef | _Path)]
"""In a document: ``train.py``, or ``{path: train.py, blob: {…}}`` once it is uploaded."""

FileTree = dict[RelativePath, BlobRef]
"""A folder: each file's relative path and its bytes."""

_UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def _seconds(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*", value)
    if not match:
        raise ValueError(f"{value!r} is no duration; write a number and ms, s, m, h, d or w, such as 30s or 1.5h")
    return float(match[1]) * _UNITS_S[match[2]]


_LONGEST_S = 10 * 365 * 86400  # what is longer is a mistake, and calendars end

DURATION_PATTERN = r"^\s*\d+(\.\d+)?\s*(ms|s|m|h|d|w)\s*$"
_Seconds = Annotated[float, Field(gt=0, le=_LONGEST_S, allow_inf_nan=False)]
_WrittenDuration = _Seconds | Annotated[str, StringConstraints(pattern=DURATION_PATTERN)]

Duration = Annotated[_Seconds, BeforeValidator(_seconds, json_schema_input_type=_WrittenDuration)]
"""Seconds, of ten years at most; people may write ``30s``, ``10m``, ``1.5h``, ``1d``."""


def model_ref(text: str) -> tuple[str, str | int]:
    """Split ``iris``, ``iris@candidate`` or ``iris:3`` into the model's name and its alias or version.

    Raises:
        ValueError: the text is none of these.
    """
    match = re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9_.-]*)(?:@([A-Za-z0-9_.-]+)|:([1-9]\d{0,8}))?", text)
    if not match:
        raise ValueError(f"{text!r} names no model; write iris, iris@candidate or iris:3")
    if match[3]:
        return match[1], int(match[3])
    return match[1], match[2] or "champion"


def _model_ref_text(text: str) -> str:
    model_ref(text)
    return text


ModelRef = Annotated[str, AfterValidator(_model_ref_text)]
"""A model by name (its champion), by alias (``iris@candidate``) or by version (``iris:3``)."""
