"""One blob on its way in: asks, writes what comes, goes on after a break, checks the whole."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

from schemas.blobs import BlobAsk, BlobChunk
from schemas.errors import BadPayload, NotFound, TooLarge, Unreachable, Untrusted
from schemas.names import BlobRef, EdgeName
from schemas.topics import BLOB_ASK, BLOB_CHUNK
from transport.blob_store import BlobDirectory
from transport.blob_writer import BlobWriter
from transport.link import Link
from transport.subscription import Message, Subscription
from transport.window import Piece, Window

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Told after each write how many bytes are here, and of how many."""

_SILENCE_S = 3.0  # then what was asked for counts as lost; doubled each time
_LONGEST_SILENCE_S = 120.0
_SPARE_BYTES = 64 * 1024 * 1024  # stay free on the disk


class Pull:
    """Brings one blob from its holder into the directory; used once."""

    def __init__(
        self, link: Link, store: BlobDirectory, edge: EdgeName, ref: BlobRef, asked_by: Literal["edge", "controller"]
    ) -> None:
        self.resumed = False  # whether a part was here already
        self._link, self._store, self._edge, self._ref, self._asked_by = link, store, edge, ref, asked_by
        self._holder = "the controller" if asked_by == "edge" else f"the edge {edge}"
        self._window = Window(ref.size_bytes, 0)
        self._news = asyncio.Event()  # something came, or there is a new connection
        self._silence_s = _SILENCE_S
        self._heard_at = asyncio.get_running_loop().time()

    async def run(self, progress: Progress) -> None:
        """Pull until the whole blob is here.

        Raises:
            NotFound: its holder does not hold it.
            Untrusted: what came is not what its name says; it is forgotten.
            TooLarge: it does not fit on the disk.
            Unreachable: nothing came for two minutes, or the disk failed; the next pull goes on with what is here.
            Conflict: another process is at it.
        """
        try:
            await self._run(progress)
        except OSError as error:
            raise Unreachable(f"{self._ref.digest} cannot be written: {error}") from error

    async def _run(self, progress: Progress) -> None:
        with await asyncio.to_thread(self._store.part, self._ref.digest) as part:
            self.resumed = part.size_bytes > 0
            self._window = Window(self._ref.size_bytes, part.size_bytes)
            self._check_room(part)
            if not self._window.complete:
                chunks = await self._link.subscribe(
                    BLOB_CHUNK.filter(edge=self._edge, digest=self._ref.digest), qos=0, queue_size=64
                )
                try:
                    await self._exchange(chunks, part, progress)
                finally:
                    await chunks.close()
            await asyncio.to_thread(part.commit, self._ref)

    async def _exchange(self, chunks: Subscription, part: BlobWriter, progress: Progress) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                name = f"pull {self._ref.digest}"
                asking = tasks.create_task(self._keep_asking(), name=f"{name}: ask")
                following = tasks.create_task(self._ask_anew_when_connected(), name=f"{name}: follow")
                await self._write_all(chunks, part, progress)
                asking.cancel()
                following.cancel()
        except ExceptionGroup as group:
            raise group.exceptions[0] from group

    async def _write_all(self, chunks: Subscription, part: BlobWriter, progress: Progress) -> None:
        while not self._window.complete:
            batch = await chunks.batch()
            if not batch:
                raise Unreachable(f"the connection was closed while {self._ref.digest} came from {self._holder}")
            pieces = [piece for message in batch for piece in self._take(message)]
            if pieces:
                self._hear()
                await asyncio.to_thread(part.write, b"".join(pieces))
                progress(self._window.held_bytes, self._ref.size_bytes)

    def _take(self, message: Message) -> list[Piece]:
        try:
            offset = int((BLOB_CHUNK.parse(message.topic) or {})["offset"])
            chunk = BlobChunk.from_wire(message.payload)
        except (BadPayload, ValueError, KeyError) as error:
            log.warning("no blob chunk, dropped", extra={"topic": message.topic, "reason": str(error)})
            return []
        if chunk.size_bytes == BlobChunk.MISSING:
            raise NotFound(f"{self._holder} does not hold {self._ref.digest}")
        if chunk.size_bytes != self._ref.size_bytes:
            raise Untrusted(
                f"{self._holder} says that {self._ref.digest} has {chunk.size_bytes} bytes, not {self._ref.size_bytes}"
            )
        return self._window.take(offset, chunk.data)

    async def _keep_asking(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._silence_s):
                    await self._news.wait()
            except TimeoutError:
                self._lose_patience()
            self._news.clear()
            if self._link.connected:  # else there is news as soon as it is
                await self._ask()

    async def _ask(self) -> None:
        topic = BLOB_ASK.to(edge=self._edge)
        for offset, length in self._window.asks():
            ask = BlobAsk(asked_by=self._asked_by, digest=self._ref.digest, offset=offset, length=length)
            with suppress(Unreachable):  # like an ask that the sender never got: asked again later
                await self._link.publish(topic, ask.to_wire(), qos=0)

    def _lose_patience(self) -> None:
        silent_s = asyncio.get_running_loop().time() - self._heard_at
        if silent_s > _LONGEST_SILENCE_S:
            because = f": {self._link.trouble}" if self._link.trouble else ""
            raise Unreachable(f"nothing of {self._ref.digest} came from {self._holder} in {silent_s:.0f} s{because}")
        self._silence_s *= 2
        self._window.restart(narrow=True)

    def _hear(self) -> None:
        """Wait for the next chunk twice as long as this one took: a slow connection is not a broken one."""
        now = asyncio.get_running_loop().time()
        self._silence_s = max(_SILENCE_S, 2 * (now - self._heard_at))
        self._heard_at = now
        self._news.set()

    async def _ask_anew_when_connected(self) -> None:
        async for _ in self._link.connections():
            self._window.restart(narrow=False)
            self._news.set()

    def _check_room(self, part: BlobWriter) -> None:
        missing_bytes = self._ref.size_bytes - part.size_bytes
        if missing_bytes > self._store.free_bytes - _SPARE_BYTES:
            raise TooLarge(
                f"{self._ref.digest} needs {missing_bytes} bytes more on a disk with {self._store.free_bytes} left; "
                f"{_SPARE_BYTES} are to stay free"
            )
