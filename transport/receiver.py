"""The receiver's end of blobs: each is pulled once, however many want it."""

import asyncio
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from schemas.errors import NotFound, Untrusted
from schemas.names import BlobRef, EdgeName
from transport.blob_store import BlobDirectory
from transport.link import Link
from transport.pull import Progress, Pull

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Shared:
    """A pull, and those who wait for it."""

    task: "asyncio.Task[None]"
    progress: list[Progress] = field(default_factory=list)
    waiting: int = 0


class BlobReceiver:
    """Pulls blobs over a link, which should be another one than that for control messages."""

    def __init__(self, link: Link, store: BlobDirectory, *, me: Literal["edge", "controller"]) -> None:
        self._link, self._store = link, store
        self._me: Literal["edge", "controller"] = me
        self._pulls: dict[BlobRef, _Shared] = {}

    async def fetch(self, edge: EdgeName, ref: BlobRef, *, progress: Progress | None = None) -> Path:
        """The blob's file, pulled if it is not here yet.

        Args:
            edge: Who sends it; on an edge, the edge itself: the controller sends.
            ref: Which blob.
            progress: Told how many bytes are here, and of how many.

        Raises:
            NotFound: its holder does not hold it.
            Untrusted: the bytes, or their number, are not what the reference says.
            TooLarge: it does not fit on the disk.
            Unreachable: nothing came for two minutes; fetch again to go on where it stopped.
        """
        try:
            await asyncio.to_thread(self._store.keep_on, ref.digest)
        except NotFound:
            await self._join(edge, ref, progress)
        return self._store.path(ref.digest)

    async def _join(self, edge: EdgeName, ref: BlobRef, progress: Progress | None) -> None:
        while (shared := self._pulls.get(ref)) and shared.task.cancelling():
            await asyncio.wait([shared.task])  # everybody had given up; it still lets go of the part
        if shared is None:
            told: list[Progress] = []
            task = asyncio.create_task(self._pull(edge, ref, told), name=f"pull {ref.digest}")
            task.add_done_callback(lambda _: self._pulls.pop(ref))
            shared = self._pulls[ref] = _Shared(task, told)
        if progress is not None:
            shared.progress.append(progress)
        shared.waiting += 1
        try:
            await asyncio.shield(shared.task)
        finally:
            shared.waiting -= 1
            if not shared.waiting and not shared.task.done():
                shared.task.cancel()
                await asyncio.wait([shared.task])

    async def _pull(self, edge: EdgeName, ref: BlobRef, told: list[Progress]) -> None:
        def tell(held_bytes: int, size_bytes: int) -> None:
            for progress in told:
                progress(held_bytes, size_bytes)

        pull = Pull(self._link, self._store, edge, ref, self._me)
        try:
            await pull.run(tell)
        except Untrusted:
            if not pull.resumed:
                raise
            log.warning("a part was damaged, pulling the whole blob anew", extra={"digest": ref.digest})
            await Pull(self._link, self._store, edge, ref, self._me).run(tell)
