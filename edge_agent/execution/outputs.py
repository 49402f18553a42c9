"""Collecting what the scripts made: the model, the metrics and the additional outputs, as blobs.

Whatever a script put into ``output/`` is taken for hostile: nothing is followed, only plain files are read, and their
number, depth and size are bounded. Collecting changes nothing, so that it can be done again after a crash.
"""

import os
from collections.abc import Container, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from pydantic import TypeAdapter, ValidationError

from edge_agent.execution import metrics
from edge_agent.execution.task_folder import NO_ROOM
from edge_agent.execution.untrusted_files import Refused, kind_of, open_plain
from schemas.errors import OutOfDisk, TaskFailed
from schemas.names import BlobRef, RelativePath
from schemas.runs import Outputs
from schemas.tasks import TaskSpec
from transport.blob_store import BlobDirectory

FILES_LIMIT = 1000  # their names travel in one message
DEPTH_LIMIT = 16
_PIECE_BYTES = 1024 * 1024
_MODEL, _METRICS, _ADDITIONAL = "model.onnx", "metrics.json", "additional_output/"
_PATH: TypeAdapter[str] = TypeAdapter(RelativePath)


def collect(folder: Path, spec: TaskSpec, blobs: BlobDirectory) -> Outputs:
    """Keep the outputs of an ended task; blocks while it reads them.

    Args:
        folder: the attempt's, as ``task_folder.create`` made it; nothing of the task runs any more.
        spec: says which metrics are declared and how much may be kept.
        blobs: where they are kept.

    Raises:
        OutOfDisk: they cannot be kept beside what is here already.
        TaskFailed: an output is missing, or is not what it should be; the message says which and why.
    """
    try:
        with _open_folder(folder / "output") as output:
            sizes = dict(_plain_files(output, "", depth=0))
            _check_size(sizes, spec.limits.output_mb)
            if not sizes.get(_MODEL):
                raise TaskFailed("nothing was written to model_file_path")
            keep = _Keeper(output, blobs, spec.limits.output_mb * 1024 * 1024)
            return Outputs(
                model=keep.file(_MODEL),
                metrics=_metrics(output, sizes, spec),
                additional={
                    path.removeprefix(_ADDITIONAL): keep.file(path) for path in sizes if path.startswith(_ADDITIONAL)
                },
            )
    except OSError as error:
        kind = OutOfDisk if error.errno in NO_ROOM else TaskFailed
        raise kind(f"the outputs cannot be collected: {error}") from error


@dataclass(slots=True)
class _Keeper:
    output: int  # descriptor of the folder
    blobs: BlobDirectory
    left_bytes: int  # that may still be kept

    def file(self, path: str) -> BlobRef:
        """Keep one file, and no more of it than is left."""
        with _open(self.output, path) as file, self.blobs.writer() as writer:
            while piece := file.read(_PIECE_BYTES):
                self.left_bytes -= len(piece)
                if self.left_bytes < 0:
                    raise TaskFailed(f"output/{path} grew while it was collected")
                writer.write(piece)
            return writer.commit()


def _plain_files(folder: int, prefix: str, *, depth: int) -> Iterator[tuple[str, int]]:
    """Every file below with its size; the descriptors of folders keep a swapped link from leading elsewhere."""
    if depth > DEPTH_LIMIT:
        raise TaskFailed(f"output/{prefix} is nested deeper than {DEPTH_LIMIT} folders")
    found = 0
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in islice(entries, FILES_LIMIT + 1))
    for name in names:
        path = _checked_path(prefix + name)
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        kind = kind_of(status)
        if kind == "a folder":
            with _open_folder(name, folder) as child:
                below = list(_plain_files(child, f"{path}/", depth=depth + 1))
        elif kind == "a file":
            below = [(path, status.st_size)]
        else:
            raise TaskFailed(f"output/{path} is {kind}; only plain files are collected")
        found += max(1, len(below))  # an empty folder counts too
        if found > FILES_LIMIT:
            raise TaskFailed(f"there are more than {FILES_LIMIT} files in output/{prefix}; pack them into fewer")
        yield from below


def _checked_path(path: str) -> str:
    try:
        path.encode()  # a name that is not UTF-8 holds surrogates, which do not travel
        return _PATH.validate_python(path)
    except (UnicodeEncodeError, ValidationError) as error:
        raise TaskFailed(
            f"output/{path!a} has a name that cannot be kept: it must be UTF-8, without backslashes, "
            "and at most 500 characters long"
        ) from error


def _check_size(sizes: dict[str, int], limit_mb: int) -> None:
    total = sum(sizes.values())
    if total > limit_mb * 1024 * 1024:
        largest = max(sizes, key=lambda path: sizes[path])
        raise TaskFailed(
            f"the outputs take {total / 1024 / 1024:.1f} MB; limits.output_mb is {limit_mb} "
            f"(the largest is output/{largest})"
        )


def _metrics(output: int, sizes: Container[str], spec: TaskSpec) -> dict[str, float]:
    """What metrics_path holds, and over it what each metric's own file does."""
    found = metrics.of_json(_read(output, _METRICS, metrics.JSON_LIMIT_BYTES)) if _METRICS in sizes else {}
    for name in (*spec.metrics, *spec.optional_metrics):
        path = f"metrics/{name}.txt"
        if path in sizes:
            found[name] = metrics.of_text(name, _read(output, path, metrics.TEXT_LIMIT_BYTES))
    metrics.check(found, spec.metrics)
    return found


def _read(output: int, path: str, limit_bytes: int) -> bytes:
    with _open(output, path) as file:
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise TaskFailed(f"output/{path} is larger than {limit_bytes} bytes, which no number needs")
    return data


@contextmanager
def _open_folder(path: str | Path, folder: int | None = None) -> Iterator[int]:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, dir_fd=folder)
    except NotADirectoryError as error:
        raise TaskFailed(f"{path} was a folder and is something else now") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open(output: int, path: str) -> closing[BinaryIO]:
    """Open a file below ``output``, each folder on the way without following a link."""
    *folders, name = path.split("/")
    descriptor = os.dup(output)
    try:
        for part in folders:
            with _open_folder(part, descriptor) as child:
                os.dup2(child, descriptor, inheritable=False)
        return closing(open_plain(name, descriptor))
    except Refused as error:
        raise TaskFailed(f"output/{path} is {error}; only plain files are collected") from error
    finally:
        os.close(descriptor)
