"""How the agent gets a blob: from its own directory, else pulled from the controller, again and again."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from edge_agent.patience import FIRST_PAUSE_S, until_reachable
from schemas.errors import NotFound, Untrusted
from schemas.names import BlobRef, EdgeName
from transport.blob_store import BlobDirectory
from transport.transfer import BlobReceiver

TRIES = 3  # for what a controller in order answers at once: it does not hold the blob, or its bytes are damaged


class Fetcher:
    """Pulls blobs for this edge."""

    def __init__(self, edge: EdgeName, blobs: BlobDirectory, receiver: BlobReceiver) -> None:
        self._edge, self._blobs, self._receiver = edge, blobs, receiver

    @property
    def free_bytes(self) -> int:
        """What still fits on the disk."""
        return self._blobs.free_bytes

    def held(self, ref: BlobRef) -> bool:
        """Whether the blob is here, whole."""
        return self._blobs.has(ref.digest)

    async def fetch(self, ref: BlobRef, note: Callable[[str], None]) -> Path:
        """The blob's file. Waits for as long as the controller is away, and notes that.

        Raises:
            NotFound: the controller does not hold it.
            Untrusted: what it sends has another digest.
            BadInput: it does not fit on the disk.
        """
        for left in reversed(range(TRIES)):
            try:
                return await until_reachable(lambda: self._once(ref), note)
            except (NotFound, Untrusted) as error:
                if not left:
                    raise
                note(f"{error}; trying again")
                await asyncio.sleep(FIRST_PAUSE_S)
        raise AssertionError("the last try returns or raises")

    async def read(self, ref: BlobRef, limit: int, note: Callable[[str], None]) -> bytes:
        """A small blob's bytes. Raises as ``fetch`` does, and TooLarge beyond ``limit``."""
        await self.fetch(ref, note)
        return self._blobs.read_bytes(ref.digest, limit)

    def forget(self, ref: BlobRef) -> None:
        """Delete a blob that nothing will ask for again; that it is not here is no error."""
        self._blobs.delete(ref.digest)

    async def _once(self, ref: BlobRef) -> Path:
        with suppress(NotFound):
            self._blobs.keep_on(ref.digest)  # so that it is not swept before it is used
            return self._blobs.path(ref.digest)
        return await self._receiver.fetch(self._edge, ref)
