"""The collect node: adds rows to a collection."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Annotated

from pydantic import Field

from pipeline_runtime.node_type import Fittings, Links, Node, NodeParams, NodeType
from pipeline_runtime.outside.spool import FILE_NAME, Gathered, Spool
from pipeline_runtime.running.run import Run
from pipeline_runtime.values.fields import FieldPath, field_of
from pipeline_runtime.values.payloads import encode
from schemas.collected import MAX_ROW_BYTES
from schemas.errors import BadInput, BadPayload, Unreachable
from schemas.names import Identifier


class Params(NodeParams):
    """Which collection, and what of the input becomes a row."""

    collection: Identifier = Field(description="The collection's name.")
    columns: Annotated[
        dict[Identifier, FieldPath],
        Field(
            description="Where each column's value stands: a named level of the message's topic, or a field of the "
            "input; null if there is none. Without it, the input is the row.",
        ),
    ] = {}
    spool_mb: Annotated[
        int,
        Field(
            ge=1, le=100_000, description="How much may wait on the edge for the controller; then messages fail here."
        ),
    ] = 256

    def links(self) -> Links:
        """The collection."""
        return Links(collects=self.collection, columns=tuple(self.columns))


class Collect(Node):
    """Puts rows where the agent finds them and sends them on. Rows of messages in flight are written together."""

    def __init__(self, params: Params, fittings: Fittings) -> None:
        self._params, self._folder = params, fittings.state
        self._spool: Spool | None = None
        self._waiting: deque[tuple[Gathered, asyncio.Future[None]]] = deque()
        self._writing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open the spool. Raises BadInput where there is no disk to keep rows on."""
        if self._folder is None:
            raise BadInput(
                "rows wait on an edge's disk until the controller has them, and here is no such place: "
                "deploy the pipeline to an edge"
            )
        try:
            self._spool = await asyncio.to_thread(Spool, Path(self._folder) / FILE_NAME)
        except Unreachable as error:
            raise BadInput(str(error)) from error

    async def close(self) -> None:
        """Write what is left, and let go of the spool."""
        if self._writing is not None:
            await self._writing
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def resolve(self, value: object, run: Run, /) -> Awaitable[object]:
        """The input, once its rows are on the disk."""
        message = run.message
        mark = blake2b(message.topic.encode() + b"\0" + message.payload, digest_size=16).digest()
        return self._kept(Gathered(mark, message.packet_id, message.dup, self._rows(value, run.values)), value)

    async def _kept(self, gathered: Gathered, value: object) -> object:
        if gathered.rows:
            written = asyncio.get_running_loop().create_future()
            self._waiting.append((gathered, written))
            if self._writing is None or self._writing.done():
                self._writing = asyncio.create_task(self._write(), name="write rows")
            await asyncio.shield(written)
        return value

    async def _write(self) -> None:
        """Write whatever waits, and what comes meanwhile, until nothing does."""
        while self._waiting:
            taken = list(self._waiting)
            self._waiting.clear()
            error: Exception | None = None
            try:
                await asyncio.to_thread(self._append, [gathered for gathered, _ in taken])
            except Exception as failure:  # noqa: BLE001 - whatever it is, those who wait have to be told
                error = failure
            for _, written in taken:
                if error is None:
                    written.set_result(None)
                else:
                    written.set_exception(error)
                    written.exception()  # seen, also when its run has ended for another reason

    def _append(self, gathered: Sequence[Gathered]) -> None:
        params = self._params
        if self._spool is None:
            raise Unreachable("the node is closed")
        if self._spool.size_bytes > params.spool_mb * 2**20:
            raise Unreachable(
                f"{params.spool_mb} MB of rows wait for the controller (`spool_mb`): it has not taken any for too long"
            )
        self._spool.append(params.collection, gathered)

    def _rows(self, value: object, levels: Mapping[str, str]) -> tuple[bytes, ...]:
        """A row for an object, rows for a list of them. Raises BadPayload."""
        return tuple(self._row(item, levels) for item in (value if isinstance(value, list | tuple) else [value]))

    def _row(self, item: object, levels: Mapping[str, str]) -> bytes:
        if self._params.columns:
            found = {name: _found(item, path, levels) for name, path in self._params.columns.items()}
            item = {name: value for name, value in found.items() if value is not None}
        if not isinstance(item, Mapping):
            raise BadPayload(f"a row is an object with the columns as keys, and this is {type(item).__name__}")
        row = encode(item)
        if len(row) > MAX_ROW_BYTES:
            raise BadPayload(f"a row of {len(row)} bytes is too large: at most {MAX_ROW_BYTES} are sent")
        return row


def _found(item: object, path: str, levels: Mapping[str, str]) -> object:
    if path in levels:
        return levels[path]
    try:
        return field_of(item, path)
    except BadPayload:
        return None


NODE = NodeType(
    name="collect",
    params=Params,
    make=Collect,
    doc="Adds its input to a collection as a row, or as rows if it is a list; its result is its input.",
    example="{id: keep, type: collect, collection: predictions, inputs: [in, predict]}",
    keeps_state=True,
)
