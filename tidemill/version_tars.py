"""The tar that a controller makes of a version, checked while it is written."""

import hashlib
import tarfile
from collections.abc import Iterator
from io import BufferedReader, RawIOBase
from typing import IO, TYPE_CHECKING

from schemas.errors import Untrusted
from schemas.models import ModelVersion

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_PIECE_BYTES = 1024 * 1024


def pass_on(pieces: Iterator[bytes], card: ModelVersion, to: IO[bytes]) -> None:
    """Write a version's tar as it comes.

    Raises:
        Untrusted: a file in it is not what the card says, or is missing, or it is no tar; it is written all the same.
    """
    folder = f"{card.name}-{card.version}"
    missing = {f"{folder}/{place}": ref.digest for place, ref in card.files.items()}
    passing = _Passing(pieces, to)
    try:
        with BufferedReader(passing) as incoming, tarfile.open(fileobj=incoming, mode="r|") as tar:
            for member in tar:
                digest, file = missing.pop(member.name, None), tar.extractfile(member)
                if digest is not None and file is not None and _digest(file) != digest:
                    raise Untrusted(f"{member.name} came damaged: its digest is not {digest}")
    except tarfile.TarError as error:
        raise Untrusted(f"what came of {card.name}:{card.version} is no whole tar: {error}") from error
    while passing.fetch():
        pass
    if missing:
        raise Untrusted(f"the tar of {card.name}:{card.version} lacks {', '.join(sorted(missing))}")


def _digest(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while piece := file.read(_PIECE_BYTES):
        digest.update(piece)
    return f"sha256:{digest.hexdigest()}"


class _Passing(RawIOBase):
    """A file to read, of which everything that comes is written to another."""

    def __init__(self, pieces: Iterator[bytes], to: IO[bytes]) -> None:
        super().__init__()
        self._pieces, self._to, self._held = pieces, to, memoryview(b"")

    def readable(self) -> bool:
        """Yes, and nothing else."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """The next bytes; none only at the end."""
        if self._held or self.fetch():
            wanted = memoryview(buffer)
            taken, self._held = self._held[: len(wanted)], self._held[len(wanted) :]
            wanted[: len(taken)] = taken
            return len(taken)
        return 0

    def fetch(self) -> bool:
        """Write the next piece, whether the one before was read or not; False: there is none."""
        piece = next(self._pieces, b"")
        self._to.write(piece)
        self._held = memoryview(piece)
        return bool(piece)
