"""What tests of selecting rows need: two collections, and what a run or a script would get of them."""

import orjson

from controller.data.selection import Asked, Frozen, Selector
from controller.stores.collections import CollectionStore
from controller.stores.sources import Sources
from schemas.collections import CollectionSpec, ColumnType
from schemas.models import DataSelection
from schemas.queries import Query
from transport.blob_store import BlobDirectory

PRESS = CollectionSpec(
    name="press",
    columns={
        "line": ColumnType.TEXT,
        "strokes": ColumnType.INTEGER,
        "force": ColumnType.REAL,
        "ok": ColumnType.BOOLEAN,
        "detail": ColumnType.JSON,
    },
)
LINES = CollectionSpec(name="lines", columns={"line": ColumnType.TEXT, "hall": ColumnType.TEXT})


def rows_of(selection: DataSelection, blobs: BlobDirectory) -> list[dict[str, object]]:
    """What a script would read."""
    rows = orjson.loads(blobs.read_bytes(selection.blob.digest, limit=10**9))
    assert isinstance(rows, list)
    assert len(rows) == selection.rows
    return rows


NO_SOURCES = Sources({})


def select(
    store: CollectionStore,
    asked: Asked | Query,
    blobs: BlobDirectory,
    *,
    sources: Sources = NO_SOURCES,
    max_bytes: int = 10**9,
    timeout_s: float = 60,
) -> Frozen:
    """What a run that asks for this gets."""
    asked = Asked((asked,)) if isinstance(asked, Query) else asked
    return Selector(store, sources, blobs, max_bytes=max_bytes, timeout_s=timeout_s).select(asked)


def new(query: Query, **after: int) -> Asked:
    """A query whose rows behind these positions are new."""
    return Asked((query,), {1: after})


def ask(store: CollectionStore, blobs: BlobDirectory, sql: str) -> list[dict[str, object]]:
    """The rows of one query over everything."""
    (selection,) = select(store, Query(query=sql), blobs).data
    return rows_of(selection, blobs)
