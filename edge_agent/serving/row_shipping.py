"""Sends the rows that pipelines have collected to the controller, and deletes them when it has them.

look ─▶ oldest rows of each spool ─▶ sent ─ack▶ deleted ─▶ the next ones …
                                       └ no ack ─▶ pause ─▶ the same again: the controller knows what it has
"""

import asyncio
import logging
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from edge_agent.serving.state_folders import StateFolders
from pipeline_runtime.outside.spool import FILE_NAME, Spool
from schemas import topics
from schemas.collected import MAX_BATCH_BYTES, RowsAck, RowsHead
from schemas.errors import TidemillError, Unreachable
from schemas.names import EdgeName
from transport.mqtt import Link, Subscription

log = logging.getLogger(__name__)

LOOK_S = 1.0  # how often spools are looked at
ACK_S = 5.0  # for the controller to say that it has the rows
LONGEST_PAUSE_S = 60.0  # while it says nothing, or refuses


class RowShipping:
    """Looks after every spool of this edge."""

    def __init__(self, link: Link, states: StateFolders, edge: EdgeName) -> None:
        self._link, self._states, self._edge = link, states, edge
        self._spools: dict[Path, Spool] = {}  # by file
        self._awaited: dict[UUID, asyncio.Future[RowsAck]] = {}  # by spool
        self._refused: dict[UUID, float] = {}  # until when a spool is left alone, by the loop's clock
        self._pause_s = LOOK_S
        self._news = asyncio.Event()

    def send_again(self) -> None:
        """The controller may be back, and may have missed what was sent."""
        self._pause_s = LOOK_S
        self._refused.clear()
        for awaited in self._awaited.values():
            if not awaited.done():
                awaited.set_exception(Unreachable("the controller or its connection was replaced"))
        self._news.set()

    async def serve(self) -> None:
        """Send until cancelled."""
        try:
            while True:
                self._news.clear()
                try:
                    if await self._round():
                        continue
                    self._pause_s = LOOK_S
                except Unreachable as error:
                    if self._pause_s == LOOK_S:
                        log.info("rows wait", extra={"reason": str(error)})
                    self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._pause_s):
                        await self._news.wait()
        finally:
            for spool in self._spools.values():
                spool.close()

    async def take_acknowledgements(self, acks: Subscription) -> None:
        """Hear what the controller has, until cancelled."""
        async for message in acks:
            try:
                ack = RowsAck.model_validate_json(message.payload)
            except ValueError as error:
                log.warning("acknowledgement not understood", extra={"topic": message.topic, "reason": str(error)})
                continue
            awaited = self._awaited.get(ack.spool)
            if awaited is not None and not awaited.done():
                awaited.set_result(ack)

    async def _round(self) -> bool:
        """Send one batch of each spool; whether any was taken. Raises Unreachable when the controller says nothing."""
        await asyncio.to_thread(self._look)
        now, taken = asyncio.get_running_loop().time(), False
        for file, spool in list(self._spools.items()):
            if self._refused.get(spool.id, 0.0) > now:
                continue
            self._spools[file] = self._spools.pop(file)  # if it is not answered, the next round begins with another
            try:
                taken |= await self._ship(spool)
            except _NotKept as error:
                log.warning("rows cannot be read", extra={"file": str(file), "reason": str(error)})
                self._refused[spool.id] = now + LONGEST_PAUSE_S
        return taken

    async def _ship(self, spool: Spool) -> bool:
        try:
            waiting = await asyncio.to_thread(spool.oldest, MAX_BATCH_BYTES)
        except Unreachable as error:
            raise _NotKept(str(error)) from error
        if waiting is None:
            return False
        head = RowsHead(collection=waiting.collection, spool=spool.id, first=waiting.first)
        ack = await self._sent(spool.id, head.with_rows(waiting.rows))
        if ack.refused:
            log.warning("rows refused", extra={"collection": waiting.collection, "reason": ack.refused})
            self._refused[spool.id] = asyncio.get_running_loop().time() + LONGEST_PAUSE_S
        if ack.upto < waiting.first:
            return False
        try:
            if ack.upto > waiting.last:  # it knows numbers that were never given here: these rows are not the ones
                log.warning("the data folder is an older copy", extra={"collection": waiting.collection})
                await asyncio.to_thread(spool.begin_anew)
            else:
                await asyncio.to_thread(spool.forget, ack.upto)
        except Unreachable as error:
            raise _NotKept(str(error)) from error
        return True

    async def _sent(self, spool: UUID, payload: bytes) -> RowsAck:
        """Publish, and wait for the answer. Raises Unreachable."""
        awaited: asyncio.Future[RowsAck] = asyncio.get_running_loop().create_future()
        self._awaited[spool] = awaited
        try:
            async with asyncio.timeout(ACK_S):
                await self._link.publish(topics.ROWS.to(edge=self._edge), payload)
                return await awaited
        except TimeoutError as error:
            raise Unreachable(f"the controller has not taken rows within {ACK_S:g} s") from error
        finally:
            del self._awaited[spool]

    def _look(self) -> None:
        """Open spools that are new, and let go of those whose pipelines are gone and that are empty."""
        for folder in self._states.nodes():
            file = folder / FILE_NAME
            if file not in self._spools and file.exists():
                try:
                    self._spools[file] = Spool(file)
                except TidemillError as error:
                    log.warning("rows cannot be read", extra={"file": str(file), "reason": str(error)})
        self._states.sweep(self._is_needed)
        for file in [file for file in self._spools if not file.exists()]:
            self._spools.pop(file).close()

    def _is_needed(self, folder: Path) -> bool:
        """Whether the folder of a node holds rows that are still to be sent."""
        spool = self._spools.get(folder / FILE_NAME)
        try:
            return (folder / FILE_NAME).exists() and (spool is None or spool.oldest(1) is not None)
        except Unreachable:
            return True


class _NotKept(Exception):
    """A spool cannot be read or written."""
