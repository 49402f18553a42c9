"""Selects the rows of a run: every query on one state of the collections, each result a blob."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import orjson

from controller.data.query import check_job_query
from controller.stores.collection_reader import Reader, Result
from controller.stores.collections import CollectionStore
from controller.stores.sqlite_reader import open_empty
from schemas.collections import CollectionSpec
from schemas.errors import BadInput, TooLarge
from schemas.models import DataSelection, Window
from schemas.queries import Query
from transport.blob_store import BlobDirectory
from transport.blob_writer import BlobWriter

MAX_BYTES = 4 * 1024**3
"""Of one query's rows."""

TIMEOUT_S = 600.0
"""For one query."""

_PIECE_BYTES = 1024 * 1024


def select(
    store: CollectionStore,
    queries: Sequence[tuple[Query, Mapping[str, int]]],
    blobs: BlobDirectory,
    *,
    max_bytes: int = MAX_BYTES,
    timeout_s: float = TIMEOUT_S,
) -> list[DataSelection]:
    """Run each query, given with the positions after which rows are new to it, and keep its rows as a JSON array.

    Blocks on the disk: call it through ``asyncio.to_thread``. All queries see the same rows, however many come
    meanwhile: those up to the positions that the selections name. No rows is no error.

    Raises:
        BadInput: a query cannot run, fails or takes too long; the message says which.
        TooLarge: its rows are more than ``max_bytes``.
        Unreachable: the store cannot be read now.
    """
    selections = []
    with store.reader(timeout_s=timeout_s) as reader:
        names = [spec.name for spec in store.specs()]
        for index, (query, after) in enumerate(queries, start=1):
            with _naming(f"query {index}"), blobs.writer() as writer:
                windows, rows = _run(reader, query, after, names, writer, max_bytes)
                selections.append(
                    DataSelection(
                        query=query.query, windows=windows, new_in=query.new_in, rows=rows, blob=writer.commit()
                    )
                )
    return selections


def check(query: Query, specs: Iterable[CollectionSpec]) -> None:
    """Check a job's query against the collections as they are declared, down to the columns it names.

    Raises:
        BadInput: it could not run; the message says why.
    """
    specs = tuple(specs)
    checked = check_job_query(query, [spec.name for spec in specs])
    sql = checked.within(dict.fromkeys(checked.collections, Window(upto=0)))
    read = (spec for spec in specs if spec.name in checked.collections)
    with open_empty(read, timeout_s=TIMEOUT_S) as reader:
        reader.prepare(sql, checked.collections, checked.names)


@contextmanager
def _naming(what: str) -> Iterator[None]:
    """Say which query it was."""
    try:
        yield
    except BadInput as error:
        raise type(error)(f"{what}: {error}") from error


def _run(
    reader: Reader, query: Query, after: Mapping[str, int], names: Sequence[str], writer: BlobWriter, max_bytes: int
) -> tuple[dict[str, Window], int]:
    checked = check_job_query(query, names)
    windows = {name: Window(upto=reader.last_position(name)) for name in checked.collections}
    for name in query.new_in:
        seen = after.get(name, 0)
        windows[name] = Window(after=seen, upto=max(seen, windows[name].upto))
    with reader.run(checked.within(windows), checked.collections, checked.names) as result:
        return windows, _write(result, writer, max_bytes)


def _write(result: Result, writer: BlobWriter, max_bytes: int) -> int:
    """Write the rows as a JSON array, a row a line, holding one piece in memory; returns how many there are."""
    keys, count, piece = _keys(result.columns), 0, bytearray(b"[")
    for count, row in enumerate(result.rows, start=1):
        piece += b"\n" if count == 1 else b",\n"
        piece += _encode(dict(zip(keys, row, strict=True)), count)
        if len(piece) >= _PIECE_BYTES:
            writer.write(bytes(piece))
            piece.clear()
        if writer.size_bytes + len(piece) > max_bytes:
            raise TooLarge(f"more than {max_bytes} bytes after {count} rows; select fewer columns or rows")
    writer.write(bytes(piece) + b"\n]\n")
    return count


def _encode(row: dict[str, object], number: int) -> bytes:
    try:
        return orjson.dumps(row)
    except orjson.JSONEncodeError as error:
        held = next((name for name, value in row.items() if isinstance(value, bytes)), None)
        why = f"column {held} holds bytes; select hex({held})" if held else str(error)
        raise BadInput(f"row {number} cannot be written as JSON: {why}") from error


def _keys(columns: Sequence[str]) -> list[str]:
    """A key for each column: the second ``position`` of a join becomes ``position_2``, so that none hides another."""
    keys: dict[str, None] = {}
    for name in columns:
        key, number = name, 1
        while key in keys or (number > 1 and key in columns):
            number += 1
            key = f"{name}_{number}"
        keys[key] = None
    return list(keys)
