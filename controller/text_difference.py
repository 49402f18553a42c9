"""What is different between two files, line by line where they are text."""

from difflib import unified_diff

from schemas.errors import NotFound
from schemas.model_views import FileDifference
from schemas.names import BlobRef
from transport.blob_store import BlobDirectory

MOST_BYTES = 1024 * 1024
"""A longer text is only told to be another one: comparing takes long, and nobody reads it."""


def file_difference(name: str, old: BlobRef | None, new: BlobRef | None, blobs: BlobDirectory | None) -> FileDifference:
    """The difference of a file; without ``blobs``, only the sizes. Blocks: it reads both."""
    told = FileDifference(
        name=name, old_bytes=old.size_bytes if old else None, new_bytes=new.size_bytes if new else None
    )
    if blobs is None:
        return told
    try:
        before, after = (_lines(ref, blobs) for ref in (old, new))
    except _NoTextError as error:
        return told.model_copy(update={"why_none": str(error)})
    lines = unified_diff(before, after, f"{name} (old)", f"{name} (new)", lineterm="")
    return told.model_copy(update={"diff": tuple(lines)})


class _NoTextError(Exception):
    """The file cannot be compared line by line."""


def _lines(ref: BlobRef | None, blobs: BlobDirectory) -> list[str]:
    if ref is None:
        return []
    if ref.size_bytes > MOST_BYTES:
        raise _NoTextError(f"it is larger than {MOST_BYTES} bytes")
    try:
        return blobs.read_bytes(ref.digest, ref.size_bytes).decode().splitlines()
    except NotFound as error:
        raise _NoTextError("its content is no longer kept") from error
    except UnicodeDecodeError as error:
        raise _NoTextError("it is no text") from error
