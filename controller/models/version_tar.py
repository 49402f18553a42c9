"""A version as one tar, made while it is sent."""

import hashlib
import logging
import tarfile
from collections.abc import Generator, Iterator
from datetime import datetime
from pathlib import Path

from schemas.errors import Untrusted
from schemas.models import ModelVersion
from schemas.names import BlobRef
from transport.blob_store import BlobDirectory

log = logging.getLogger(__name__)

_PIECE_BYTES = 1024 * 1024
_END = bytes(2 * tarfile.BLOCKSIZE)


class VersionTar:
    """The card as ``iris-3.json``, and the files below ``iris-3/``: for one version always the same bytes."""

    def __init__(self, card: ModelVersion, card_blob: BlobRef, blobs: BlobDirectory) -> None:
        """Look where the files are. Raises NotFound when one is not held."""
        self.name = f"{card.name}-{card.version}"
        files = {f"{self.name}/{place}": ref for place, ref in card.files.items()} | {f"{self.name}.json": card_blob}
        self._members = [
            (_header(place, ref, card.created_at), ref, blobs.path(ref.digest)) for place, ref in sorted(files.items())
        ]

    @property
    def size_bytes(self) -> int:
        """Of the whole tar."""
        return sum(len(header) + ref.size_bytes + _padding(ref) for header, ref, _ in self._members) + len(_END)

    def pieces(self) -> Generator[bytes]:
        """The tar from its beginning; blocks on the disk for each piece.

        Raises:
            Untrusted: a file is not any more what its digest says; what was given so far is no whole tar.
        """
        for header, ref, path in self._members:
            yield header
            yield from _content(ref, path)
            yield bytes(_padding(ref))
        yield _END


def _header(place: str, ref: BlobRef, created_at: datetime) -> bytes:
    member = tarfile.TarInfo(place)
    member.size, member.mtime = ref.size_bytes, int(created_at.timestamp())
    return member.tobuf(tarfile.PAX_FORMAT)


def _padding(ref: BlobRef) -> int:
    return -ref.size_bytes % tarfile.BLOCKSIZE


def _content(ref: BlobRef, path: Path) -> Iterator[bytes]:
    digest, left_bytes = hashlib.sha256(), ref.size_bytes
    with path.open("rb") as file:
        while piece := file.read(min(_PIECE_BYTES, left_bytes)):
            digest.update(piece)
            left_bytes -= len(piece)
            yield piece
    if f"sha256:{digest.hexdigest()}" != ref.digest:
        log.error("a blob is damaged", extra={"digest": ref.digest, "path": str(path)})
        raise Untrusted(f"{path} is damaged: its digest is not {ref.digest}")
