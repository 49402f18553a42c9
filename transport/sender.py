"""The sender's end of blobs: answers asks, each edge in its turn and at its pace."""

import asyncio
import logging
from collections import deque
from collections.abc import Container
from contextlib import suppress
from dataclasses import dataclass

from schemas.blobs import CHUNK_BYTES, BlobAsk, BlobChunk
from schemas.errors import NotFound, Unreachable
from schemas.names import BlobDigest, EdgeName
from schemas.topics import BLOB_ASK, BLOB_CHUNK
from transport.blob_store import BlobDirectory
from transport.link import Link
from transport.pace import Pace
from transport.subscription import Message
from transport.window import ASK_BYTES

log = logging.getLogger(__name__)

_ASK_DOCUMENT_BYTES = 1024  # no ask is longer
_RANGES_WAITING = 64  # per edge; its receiver asks again for what is dropped
_READS = 16  # ranges in memory at a time, over all edges


@dataclass(frozen=True, slots=True)
class _Range:
    digest: BlobDigest
    offset: int
    length: int


class BlobSender:
    """Sends what it is asked for over a link, which should be another one than that for control messages."""

    def __init__(
        self,
        link: Link,
        store: BlobDirectory,
        *,
        edge: EdgeName | None = None,
        rate_bytes_s: float | None = None,
        refused: Container[EdgeName] = frozenset(),
    ) -> None:
        """Make the end of one edge, or, without ``edge``, the controller's for all of them.

        ``rate_bytes_s`` is what each edge may be sent per second, or None for as much as the connection takes; those
        that are ``refused`` are sent nothing.
        """
        self._refused = refused
        self._link, self._store, self._edge, self._rate_bytes_s = link, store, edge, rate_bytes_s
        self._asked_by = "edge" if edge is None else "controller"  # both ends listen; this is the other one
        self._waiting: dict[EdgeName, deque[_Range]] = {}
        self._room = asyncio.Semaphore(_READS)

    async def serve(self) -> None:
        """Answer asks until cancelled, or until the link is closed."""
        only = {"edge": self._edge} if self._edge else {}
        asks = await self._link.subscribe_patiently(BLOB_ASK.filter(**only), qos=0)
        async with asyncio.TaskGroup() as answering:
            async for message in asks:
                edge = (BLOB_ASK.parse(message.topic) or {}).get("edge", "")
                wanted = self._read(message)
                if wanted is not None and edge not in self._refused and self._queue(edge, wanted):
                    answering.create_task(self._answer_all(edge), name=f"blobs of {edge}")

    def _read(self, message: Message) -> _Range | None:
        try:
            if len(message.payload) > _ASK_DOCUMENT_BYTES:
                raise ValueError(f"{len(message.payload)} bytes are too many")
            ask = BlobAsk.model_validate_json(message.payload)
        except ValueError as error:
            log.warning("no blob ask, dropped", extra={"topic": message.topic, "reason": str(error)})
            return None
        if ask.asked_by != self._asked_by:
            return None
        return _Range(ask.digest, ask.offset, min(ask.length, ASK_BYTES))

    def _queue(self, edge: EdgeName, wanted: _Range) -> bool:
        """Queue a range; returns whether somebody must begin to answer this edge."""
        if edge not in self._waiting:
            self._waiting[edge] = deque([wanted])
            return True
        waiting = self._waiting[edge]
        if len(waiting) < _RANGES_WAITING and wanted not in waiting:
            waiting.append(wanted)
        return False

    async def _answer_all(self, edge: EdgeName) -> None:
        waiting, pace = self._waiting[edge], Pace(self._rate_bytes_s)
        try:
            while waiting:
                async with self._room:
                    await self._answer(edge, waiting.popleft(), pace)
        finally:
            del self._waiting[edge]

    async def _answer(self, edge: EdgeName, wanted: _Range, pace: Pace) -> None:
        """Send one range. What does not get through is asked for again by its receiver."""
        try:
            size_bytes, data = await asyncio.to_thread(self._load, wanted)
        except (NotFound, FileNotFoundError):
            size_bytes, data = BlobChunk.MISSING, b""
        except OSError as error:  # one unreadable blob must not end the service of all others
            log.error("a blob cannot be read", extra={"digest": wanted.digest, "reason": str(error)})  # noqa: TRY400
            return

        view = memoryview(data)

        async def send(start: int) -> None:
            chunk = BlobChunk(size_bytes, view[start : start + CHUNK_BYTES])
            topic = BLOB_CHUNK.to(edge=edge, digest=wanted.digest, offset=str(wanted.offset + start))
            with suppress(Unreachable):
                await self._link.publish(topic, chunk.to_wire(), qos=0)

        step = CHUNK_BYTES if self._rate_bytes_s else ASK_BYTES
        for start in range(0, len(data) or 1, step):
            piece = range(start, min(start + step, len(data) or 1), CHUNK_BYTES)
            await asyncio.gather(*(send(each) for each in piece))
            await pace.spend(len(data[start : start + step]))

    def _load(self, wanted: _Range) -> tuple[int, bytes]:
        with self._store.path(wanted.digest).open("rb") as file:
            file.seek(wanted.offset)
            return self._store.size(wanted.digest), file.read(wanted.length)
