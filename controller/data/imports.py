"""Reads a file of rows into a collection: a JSON array, NDJSON or CSV; all of it or, if it cannot be read, nothing."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import BinaryIO

import orjson

from controller.data.csv_rows import csv_rows
from controller.data.payloads import Items, Parsed, Unreadable, fit_rows
from controller.stores.collections import CollectionStore
from schemas.collections import CollectionSpec
from schemas.errors import BadInput, TooLarge
from schemas.views import ImportResult

MAX_BYTES = 256 * 1024 * 1024
"""Of an NDJSON or CSV file, which is read a piece at a time."""

MAX_ARRAY_BYTES = 64 * 1024 * 1024
"""Of a JSON array, which is held in memory whole."""

SOURCE = "import"
_BATCH_ROWS = 1000
_LINE_BYTES = 4 * 1024 * 1024
_REASONS_TOLD = 20


def import_rows(store: CollectionStore, name: str, file: BinaryIO, content_type: str) -> ImportResult:
    """Add the rows of a file in one transaction; rows that do not fit are rejected alone. Blocks.

    Args:
        store: Where the collection is.
        name: The collection.
        file: Read from where it stands to its end, while nobody else can write to the store: let it be a local one.
        content_type: ``application/json``, ``application/x-ndjson`` or ``text/csv``.

    Raises:
        NotFound: there is no such collection.
        BadInput: the file is not of its type; nothing was added.
        TooLarge: it has more bytes than are taken; nothing was added.
        Unreachable: the store could not write it.
    """
    kind = content_type.split(";", maxsplit=1)[0].strip().lower()
    if kind not in _READERS:
        raise BadInput(f"a file of {content_type!r} is not understood; send one of {', '.join(_READERS)}")
    spec = store.spec(name)
    accepted = rejected = 0
    reasons: list[str] = []

    def counted() -> Iterator[Parsed]:
        nonlocal accepted, rejected
        for batch in _batches(_READERS[kind](file, spec), spec):
            accepted += len(batch.rows)
            rejected += len(batch.rejects)
            reasons.extend(reject.reason for reject in batch.rejects[: _REASONS_TOLD - len(reasons)])
            yield batch

    store.insert_all(name, counted())
    return ImportResult(accepted=accepted, rejected=rejected, reasons=tuple(reasons))


def _batches(items: Items, spec: CollectionSpec) -> Iterator[Parsed]:
    remaining = iter(items)
    while piece := list(islice(remaining, _BATCH_ROWS)):
        yield fit_rows(piece, spec, source=SOURCE)


def _json_array(file: BinaryIO, _spec: CollectionSpec) -> Items:
    content = file.read(MAX_ARRAY_BYTES + 1)
    if len(content) > MAX_ARRAY_BYTES:
        raise TooLarge(f"a JSON array may have {MAX_ARRAY_BYTES} bytes; send more rows as NDJSON, one object a line")
    try:
        rows = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"not JSON: {error}") from error
    if not isinstance(rows, list):
        raise BadInput("a JSON file of rows is an array of objects")
    return ((f"row {index}: ", row) for index, row in enumerate(rows, start=1))


def _ndjson(file: BinaryIO, _spec: CollectionSpec) -> Items:
    for number, line in _lines(file):
        if not line.strip():
            continue
        try:
            yield f"line {number}: ", orjson.loads(line)
        except orjson.JSONDecodeError as error:
            yield f"line {number}: ", Unreadable(f"not JSON: {error}", line)


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines with their numbers, under the caps of a line and of the file."""
    size_bytes, number = 0, 0
    while line := file.readline(_LINE_BYTES + 1):
        number += 1
        size_bytes += len(line)
        if len(line) > _LINE_BYTES:
            raise TooLarge(f"line {number} has more than {_LINE_BYTES} bytes")
        if size_bytes > MAX_BYTES:
            raise TooLarge(f"more than {MAX_BYTES} bytes at line {number}; send the file in pieces")
        yield number, line


def _csv(file: BinaryIO, spec: CollectionSpec) -> Items:
    return csv_rows(_lines(file), spec)


_READERS: dict[str, Callable[[BinaryIO, CollectionSpec], Items]] = {
    "application/json": _json_array,
    "application/x-ndjson": _ndjson,
    "text/csv": _csv,
}
