"""Mark and sweep of the controller's blobs: those go that nothing refers to, and that nobody wrote or wanted lately.

What is referred to is read from one state of the control database, by a transaction that only reads: no writer waits
for it. Everything that state refers to stays. What may come to be referred to by a transaction after it is spared too:

* bytes that were uploaded, pulled or written for it are young, since a blob's age counts from when it was put there;
* bytes that were here already, and so were not sent again, are made young by asking for them (``keep_on``);
* a reference that is copied from another row was marked with that row, or is young as that row's was.

So no blob is missing that a row names, at whatever moment the process is killed: rows are deleted first, and what only
they referred to is garbage from then on, found by this sweep or by the next one.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from controller.stores.blob_references import References, blob_references, digests_in
from controller.stores.database import Database
from schemas.errors import NotFound
from schemas.names import BlobDigest
from transport.blob_store import BlobDirectory

YOUNG_S = 86400.0
"""So long a blob may wait for what names it: between the upload of a file and applying the fleet that it belongs to."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep freed."""

    blobs: int = 0
    bytes: int = 0


async def sweep(database: Database, blobs: BlobDirectory, *, young_s: float = YOUNG_S) -> Swept:
    """Delete the blobs that nothing refers to and that are older than ``young_s`` seconds."""
    before = time.time() - young_s
    references = await database.read(blob_references)
    return await asyncio.to_thread(lambda: _delete(blobs, referred(references, blobs), before))


def referred(references: References, blobs: BlobDirectory) -> set[BlobDigest]:
    """All that is referred to, by rows or by the documents that rows name. Blocks: it reads those documents."""
    found = set(references.blobs)
    for document in references.documents:
        with suppress(NotFound):
            found.update(digests_in(blobs.path(document).read_text(encoding="utf-8", errors="replace")))
    return found


def _delete(blobs: BlobDirectory, wanted: set[BlobDigest], before: float) -> Swept:
    found = (blobs.delete_unused(digest, before=before) for digest in _unwanted(blobs, wanted))
    freed = [size_bytes for size_bytes in found if size_bytes is not None]
    return Swept(len(freed), sum(freed))


def _unwanted(blobs: BlobDirectory, wanted: set[BlobDigest]) -> Iterator[BlobDigest]:
    yield from (digest for digest in blobs.parts() if digest not in wanted)
    yield from (digest for digest in blobs.digests() if digest not in wanted)
