"""Takes the rows that pipelines on edges have collected, each once, and says so."""

import asyncio
import logging
from collections.abc import Callable

import orjson
from pydantic import ValidationError

from controller.data.payloads import Parsed, fit_rows
from controller.stores.collections import CollectionStore
from schemas.collected import RowsAck, RowsBatch
from schemas.collections import CollectionSpec
from schemas.errors import BadInput, NotFound, Unreachable
from schemas.names import EdgeName
from schemas.topics import ROW_ACKS
from transport.mqtt import Link

log = logging.getLogger(__name__)


class CollectedRows:
    """From a batch to rows on the disk to an acknowledgement."""

    def __init__(self, link: Link, store: CollectionStore) -> None:
        self._link, self._store = link, store

    async def take(self, edge: EdgeName, payload: bytes) -> None:
        """Keep what is new of a batch, and acknowledge it.

        Raises:
            BadInput: it is no batch.
            Unreachable: the store could not write it: to be tried again.
        """
        batch = _read(payload)
        try:
            upto = await asyncio.to_thread(self._store.insert_collected, batch, edge, _fit(batch, edge))
            ack = RowsAck(spool=batch.spool, upto=upto)
        except NotFound as error:
            ack = RowsAck(spool=batch.spool, upto=batch.first - 1, refused=str(error))
        try:
            await self._link.publish(ROW_ACKS.to(edge=edge), ack.to_wire())
        except Unreachable:  # its edge sends the batch again
            log.info("acknowledgement of rows not delivered", extra={"edge": edge})


def _read(payload: bytes) -> RowsBatch:
    try:
        return RowsBatch.model_validate(orjson.loads(payload))  # numbers as devices' messages have them
    except orjson.JSONDecodeError as error:
        raise BadInput(f"not JSON: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise BadInput(f"{first['loc']}: {first['msg']}") from error


def _fit(batch: RowsBatch, edge: EdgeName) -> Callable[[CollectionSpec, int], Parsed]:
    def fit(spec: CollectionSpec, known: int) -> Parsed:
        new = batch.rows[max(0, known + 1 - batch.first) :]
        return fit_rows((("", row) for row in new), spec, source=f"edge {edge}")

    return fit
