"""A directory of immutable bytes named by their sha256; never half there, whatever is killed when."""

import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from schemas.errors import BadInput, NotFound, TooLarge
from schemas.names import BlobDigest, BlobRef
from transport.blob_writer import BlobWriter, locked_folder, remove_abandoned, sync_folder

_PIECE_BYTES = 1024 * 1024
_PARTS, _TEMPORARY, _SCRATCH = "parts", "temporary", "scratch"
_LEFT_S = 86400.0


class BlobDirectory:
    """Blobs as files, fanned out by the first two digits of their digest.

    Every method blocks on the disk: call those that move many bytes through ``asyncio.to_thread``. Several
    processes may share one directory.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in (_PARTS, _TEMPORARY):
            (root / name).mkdir(exist_ok=True)
        for leftover in (root / _TEMPORARY).iterdir():
            remove_abandoned(leftover)

    @property
    def free_bytes(self) -> int:
        """How much still fits on the disk below."""
        return shutil.disk_usage(self._root).free

    def has(self, digest: BlobDigest) -> bool:
        """Whether the blob is here, whole."""
        return self._place(digest).is_file()

    def path(self, digest: BlobDigest) -> Path:
        """The blob's file: read it, never write to it. Raises NotFound."""
        place = self._place(digest)
        if not place.is_file():
            raise NotFound(f"{digest} is not in {self._root}")
        return place

    def size(self, digest: BlobDigest) -> int:
        """The blob's size in bytes. Raises NotFound."""
        return self.path(digest).stat().st_size

    def ref(self, digest: BlobDigest) -> BlobRef:
        """The blob's digest with its size. Raises NotFound."""
        return BlobRef(digest=digest, size_bytes=self.size(digest))

    def read_bytes(self, digest: BlobDigest, limit: int) -> bytes:
        """The blob's bytes.

        Raises:
            NotFound: it is not here.
            TooLarge: it has more than ``limit`` bytes.
        """
        path = self.path(digest)
        size_bytes = path.stat().st_size
        if size_bytes > limit:
            raise TooLarge(f"{digest} has {size_bytes} bytes; at most {limit} are read here")
        return path.read_bytes()

    def put_bytes(self, data: bytes) -> BlobRef:
        """Keep these bytes."""
        with self.writer() as writer:
            writer.write(data)
            return writer.commit()

    def put_file(self, path: Path, *, move: bool = False) -> BlobRef:
        """Keep what this file holds; with ``move`` the file is removed once it is kept.

        Raises:
            NotFound: there is no such file.
            BadInput: it is a link, a pipe, a folder: anything but a regular file.
        """
        with _open_regular(path) as source, self.writer() as writer:
            while piece := source.read(_PIECE_BYTES):
                writer.write(piece)
            ref = writer.commit()
        if move:
            path.unlink()
        return ref

    def writer(self) -> BlobWriter:
        """Write a blob piece by piece: ``with store.writer() as writer: …; ref = writer.commit()``."""
        return BlobWriter(self._root / _TEMPORARY / secrets.token_hex(16), self._place, resumable=False)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """An empty folder on the same disk, for the length of the block; one that a crash left goes a day later."""
        place = self._root / _SCRATCH
        place.mkdir(exist_ok=True)
        for leftover in place.iterdir():
            if time.time() - leftover.stat().st_mtime > _LEFT_S:
                shutil.rmtree(leftover, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=place) as folder:
            yield Path(folder)

    def part(self, digest: BlobDigest) -> BlobWriter:
        """Go on writing a blob whose digest is known; what was written before a crash is still there.

        Blocks for as long as hashing that takes. Raises Conflict when it is being written already.
        """
        return BlobWriter(self._root / _PARTS / _digits(digest), self._place, resumable=True)

    def parts(self) -> Iterator[BlobDigest]:
        """The blobs that are here in part, to be gone on with or deleted."""
        for path in sorted((self._root / _PARTS).iterdir()):
            yield f"sha256:{path.name}"

    def delete(self, digest: BlobDigest) -> None:
        """Forget a blob, whole or in part; that it is not here is no error."""
        for path in (self._place(digest), self._root / _PARTS / _digits(digest)):
            with suppress(FileNotFoundError):
                path.unlink()
                sync_folder(path.parent)

    def keep_on(self, digest: BlobDigest) -> BlobRef:
        """The blob, which counts as new from now on: ``delete_unused`` spares it for a while. Raises NotFound."""
        place = self._place(digest)
        with suppress(FileNotFoundError), locked_folder(place.parent):
            os.utime(place)
            return BlobRef(digest=digest, size_bytes=place.stat().st_size)
        raise NotFound(f"{digest} is not in {self._root}")

    def delete_unused(self, digest: BlobDigest, *, before: float) -> int | None:
        """Forget a blob, unless somebody wrote it, or wanted it kept, since ``before`` (seconds of the epoch).

        A part of it that nobody has gone on with since then is forgotten too. Returns how many bytes that freed, or
        None if there was nothing to forget.
        """
        place, freed_bytes = self._place(digest), None
        with suppress(FileNotFoundError), locked_folder(place.parent):
            found = place.stat()
            if found.st_mtime < before:
                place.unlink()
                freed_bytes = found.st_size
        part = self._root / _PARTS / _digits(digest)
        with suppress(FileNotFoundError):
            found = part.stat()
            if found.st_mtime < before and remove_abandoned(part):
                freed_bytes = (freed_bytes or 0) + found.st_size
        return freed_bytes

    def digests(self) -> Iterator[BlobDigest]:
        """Every blob that is here, whole."""
        for folder in sorted(self._root.glob("[0-9a-f][0-9a-f]")):
            for path in sorted(folder.iterdir()):
                yield f"sha256:{path.name}"

    def _place(self, digest: BlobDigest) -> Path:
        digits = _digits(digest)
        return self._root / digits[:2] / digits


def _digits(digest: BlobDigest) -> str:
    """The file name of a digest; anything else could lead out of the directory."""
    match = re.fullmatch(r"sha256:([0-9a-f]{64})", digest)
    if match is None:
        raise BadInput(f"{digest!r} is no digest; one is sha256: and 64 hexadecimal digits")
    return match[1]


def _open_regular(path: Path) -> BinaryIO:
    """Open without following a link: what a training script leaves behind may point anywhere."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}") from error
    except OSError as error:
        raise BadInput(f"{path} cannot be kept as a blob: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BadInput(f"{path} cannot be kept as a blob: it is no regular file")
    return os.fdopen(descriptor, "rb")
