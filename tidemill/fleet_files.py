"""A fleet file as people write it, read into a Fleet: places in every error, files replaced by their blobs."""

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from schemas.errors import BadInput
from schemas.fleet import Fleet, FleetDocument
from schemas.jobs import JobSpec
from schemas.known_keys import Schema, keys_at
from schemas.mistakes import mistake_text, node_text, own_mistakes, place_of, place_text
from schemas.names import BlobRef, FileRef
from tidemill.yaml_places import PlacedDocument, read_documents

KINDS = ("Collection", "Model", "Job", "Library", "Pipeline", "Deployment", "MaintenanceWindow")

_DOCUMENT: TypeAdapter[FleetDocument] = TypeAdapter(FleetDocument)
Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class FleetFile:
    """The documents of one file, each found in order by itself."""

    placed: tuple[PlacedDocument, ...]
    documents: tuple[FleetDocument, ...]

    def fleet(self, to_blob: Callable[[Path], BlobRef]) -> Fleet:
        """What to send: every file that a document names is handed to ``to_blob``, and replaced by its blob."""
        pairs = zip(self.placed, self.documents, strict=True)
        return Fleet(documents=tuple(with_blobs(document, one.file.parent, to_blob) for one, document in pairs))

    def told(self, where: str, message: str) -> str:
        """What the controller says of a part, as a line that begins with ``file:line`` and the key."""
        key = where.partition(".")[2]
        return f"{self.place(where)}: {f'{key} of ' if key else ''}{message}"

    def place(self, where: str) -> str:
        """``file:line`` of a part as the controller names it, such as ``documents[2].queries[0].query``."""
        parts = [int(number) if number else name for name, number in re.findall(r"(\w+)|\[(\d+)\]", where)]
        match parts:
            case ["documents", int(index), *path] if index < len(self.placed):
                return self.placed[index].place(path)
        return where


def read_fleet(file: Path) -> FleetFile:
    """Read and check a fleet file; paths in it are relative to it.

    Raises:
        NotFound: there is no such fleet file.
        BadInput: all that is wrong, one line each, beginning with ``file:line``.
    """
    placed = tuple(read_documents(file))
    problems: list[str] = []
    documents: list[FleetDocument] = []
    for one in placed:
        try:
            documents.append(with_folders(_DOCUMENT.validate_python(one.data), one.file.parent))
            problems.extend(_missing_files(one, documents[-1]))
        except ValidationError as error:
            problems.extend(_problem(one, detail) for detail in own_mistakes(error.errors()))
    if not placed:
        problems.append(f"{file}: no documents in it; each begins with a kind, one of {', '.join(KINDS)}")
    problems = problems or list(_repeated(placed, documents))
    if problems:
        raise BadInput("\n".join(problems))
    return FleetFile(placed, tuple(documents))


def _problem(placed: PlacedDocument, detail: ErrorDetails) -> str:
    """One line: where, in which document, which key, what."""
    data = placed.data
    title = f"document {placed.number}"
    if isinstance(data, dict) and data.get("kind") in KINDS:
        title += f", {data['kind']} {data.get('name', 'without a name')}"
    path = place_of(detail["loc"][1:])  # the first part tells the kinds apart, and stands nowhere in the file
    key = place_text(path)
    return f"{placed.place(path)}: ({title}) {key + ': ' if key else ''}{node_text(path, data)}{_message(detail, data)}"


def _message(detail: ErrorDetails, data: object) -> str:
    match detail["type"]:
        case "extra_forbidden":
            kind, *path = detail["loc"]
            return mistake_text(detail, keys_at(_schema(), (kind, *place_of(path[:-1]))))
        case "union_tag_not_found":
            return f"has no kind; write one of {', '.join(KINDS)}"
        case "union_tag_invalid":
            kind = str(data.get("kind")) if isinstance(data, dict) else ""
            near = difflib.get_close_matches(kind, KINDS, n=1, cutoff=0.5)
            return f"no such kind: {kind}; " + (
                f"did you mean {near[0]}?" if near else f"write one of {', '.join(KINDS)}"
            )
        case _:
            return mistake_text(detail)


@cache
def _schema() -> Schema:
    return _DOCUMENT.json_schema()


def with_folders(document: Part, folder: Path) -> Part:
    """The document with every folder among a job's inputs replaced by the files in it, at any depth."""
    if not isinstance(document, JobSpec):
        return document
    inputs = tuple(file for ref in document.inputs for file in _files_in(ref, folder))
    return document if inputs == document.inputs else document.model_copy(update={"inputs": inputs})


def _files_in(ref: FileRef, folder: Path) -> Iterator[FileRef]:
    root = folder / ref.path
    if ref.blob is not None or not root.is_dir():
        yield ref
        return
    for path in sorted(root.rglob("*")):
        if path.is_file():
            yield FileRef(path=str(Path(ref.path, path.relative_to(root))), to=path.relative_to(root).as_posix())


def _missing_files(placed: PlacedDocument, document: BaseModel) -> Iterator[str]:
    for path, ref in _files(document, ()):
        if not (placed.file.parent / ref.path).is_file():
            yield f"{placed.place(path)}: there is no file {placed.file.parent / ref.path}"


def _files(value: object, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], FileRef]]:
    """Every file that is still named by its path alone, and where in the document."""
    if isinstance(value, FileRef):
        if value.blob is None:
            yield path, value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _files(getattr(value, name), (*path, name))
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _files(item, (*path, index))


def with_blobs(value: Part, folder: Path, to_blob: Callable[[Path], BlobRef]) -> Part:
    """The document with every file that it names handed to ``to_blob``; paths are relative to ``folder``."""
    replaced: Any = value
    if isinstance(value, FileRef):
        if value.blob is None:
            replaced = FileRef(path=value.name, to=value.to, blob=to_blob(folder / value.path))
    elif isinstance(value, BaseModel):
        names = value.model_fields_set & set(type(value).model_fields)
        replaced = value.model_copy(update={name: with_blobs(getattr(value, name), folder, to_blob) for name in names})
    elif isinstance(value, tuple):
        replaced = tuple(with_blobs(item, folder, to_blob) for item in value)
    return replaced  # type: ignore[no-any-return]


def _repeated(placed: Sequence[PlacedDocument], documents: Sequence[FleetDocument]) -> Iterator[str]:
    first: dict[tuple[str, str], str] = {}
    for one, document in zip(placed, documents, strict=True):
        named = (document.kind, document.name)
        if named in first:
            yield f"{one.place()}: {document.kind} {document.name} stands already at {first[named]}"
        first.setdefault(named, one.place())
