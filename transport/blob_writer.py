"""Writing one blob: hashed on the way, on the disk before it gets its name."""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from schemas.errors import Conflict, Untrusted
from schemas.names import BlobDigest, BlobRef

_PIECE_BYTES = 1024 * 1024


class BlobWriter:
    """A blob being written; a context manager, and a blob only once ``commit`` has returned.

    A resumable one keeps what it has when it is left without ``commit``, and starts with it the next time. The file
    is locked while it is open, so that no two write to it, and so that a leftover is told from one in use.
    """

    def __init__(self, path: Path, place: Callable[[BlobDigest], Path], *, resumable: bool) -> None:
        self._path, self._place, self._resumable = path, place, resumable
        self._hash = hashlib.sha256()
        self.size_bytes = 0  # written so far, a former life's bytes included
        self._file = _open_locked(path, wait=not resumable)
        self._file.seek(0)
        while piece := self._file.read(_PIECE_BYTES):
            self._count(piece)

    def write(self, data: bytes) -> None:
        """Append these bytes."""
        self._file.write(data)
        self._count(data)

    def commit(self, expected: BlobRef | None = None) -> BlobRef:
        """Make it a blob: from now on it is there, whole, even if the power fails.

        Raises:
            Untrusted: it is not the ``expected`` one; what was written is discarded.
        """
        ref = BlobRef(digest=f"sha256:{self._hash.hexdigest()}", size_bytes=self.size_bytes)
        if expected is not None and ref != expected:
            self.discard()
            raise Untrusted(
                f"{expected.size_bytes} bytes of {expected.digest} were expected; "
                f"these are {ref.size_bytes} bytes of {ref.digest}"
            )
        self._file.flush()
        os.fchmod(self._file.fileno(), 0o444)
        os.fsync(self._file.fileno())
        place = self._place(ref.digest)
        if not place.parent.exists():
            place.parent.mkdir(exist_ok=True)
            sync_folder(place.parent.parent)
        with locked_folder(place.parent):  # so that who deletes what is old does not delete what is new
            os.utime(self._file.fileno())
            self._path.replace(place)
        sync_folder(place.parent)
        self._file.close()
        return ref

    def discard(self) -> None:
        """Forget what was written."""
        if not self._file.closed:
            self._path.unlink(missing_ok=True)
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Keep what a resumable writer has; forget any other that was not committed."""
        if self._resumable:
            self._file.close()
        else:
            self.discard()

    def _count(self, data: bytes) -> None:
        self._hash.update(data)
        self.size_bytes += len(data)


def remove_abandoned(path: Path) -> bool:
    """Remove this file unless somebody is writing to it; tells whether it is gone by that."""
    with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
        return True
    return False


@contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """Keep other threads and processes from changing which blobs lie in a folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Put a folder's names on the disk: a rename is durable only then."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open_locked(path: Path, *, wait: bool) -> BinaryIO:
    while True:
        file = path.open("ab+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise Conflict(f"{path} is being written already") from error
        # Between opening and locking, its former writer may have made it a blob, which nobody must append to.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()
