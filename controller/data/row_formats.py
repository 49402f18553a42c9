"""Writes rows as JSON, NDJSON or CSV, a few rows at a time; Parquet has a module of its own. Pure."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec

import orjson

from controller.data.result_columns import ResultColumn
from schemas.collections import ColumnType
from schemas.errors import BadInput
from schemas.queries import Format

Rows = list[tuple[object, ...]]
Encoder = Callable[[Sequence[ResultColumn], Iterable[Rows]], Iterator[bytes]]
"""From columns, and rows a few at a time, to the bytes of a file, a piece at a time."""

_PLAIN = frozenset({str, int, float, type(None)})
"""What a CSV writer writes as it is."""


def check_format(wanted: Format) -> None:
    """Raises BadInput when the format needs a package that is not installed."""
    if wanted == "parquet" and find_spec("pyarrow") is None:
        raise BadInput(
            "rows as Parquet need the package pyarrow where the controller is: pip install tidemill[parquet]"
        )


def encoder(wanted: Format) -> Encoder:
    """What writes rows so. Raises BadInput as ``check_format``."""
    check_format(wanted)
    match wanted:
        case "json":
            return _json
        case "ndjson":
            return _ndjson
        case "csv":
            return _csv
        case "parquet":  # imported for those alone who want it: it takes 60 MB
            found: Encoder = import_module("controller.data.parquet_rows").parquet
            return found


def _json(columns: Sequence[ResultColumn], chunks: Iterable[Rows]) -> Iterator[bytes]:
    """One array of objects, a row a line."""
    keys, count, before = [column.key for column in columns], 0, b"[\n"
    for rows in chunks:
        yield before + b",\n".join(_objects(keys, rows, count))
        count, before = count + len(rows), b",\n"
    yield b"\n]\n" if count else b"[\n]\n"


def _ndjson(columns: Sequence[ResultColumn], chunks: Iterable[Rows]) -> Iterator[bytes]:
    """An object a line."""
    keys, count = [column.key for column in columns], 0
    for rows in chunks:
        yield b"\n".join(_objects(keys, rows, count)) + b"\n"
        count += len(rows)


def _objects(keys: Sequence[str], rows: Rows, before: int) -> list[bytes]:
    try:
        return [orjson.dumps(dict(zip(keys, row, strict=True))) for row in rows]
    except orjson.JSONEncodeError as error:
        raise _unwritable(keys, rows, before) or BadInput(f"a row cannot be written as JSON: {error}") from error


def _unwritable(keys: Sequence[str], rows: Rows, before: int) -> BadInput | None:
    """Which row and column it was."""
    for number, row in enumerate(rows, start=before + 1):
        for key, value in zip(keys, row, strict=True):
            try:
                orjson.dumps(value)
            except orjson.JSONEncodeError as error:
                return _refused(number, key, value, f"cannot be written as JSON: {error}")
    return None


def _refused(number: int, key: str, value: object, otherwise: str) -> BadInput:
    why = f"holds bytes; select hex({key})" if isinstance(value, bytes) else otherwise
    return BadInput(f"row {number}: column {key} {why}")


def _csv(columns: Sequence[ResultColumn], chunks: Iterable[Rows]) -> Iterator[bytes]:
    """RFC 4180 in UTF-8: a line of names, then a row a line; null is empty, JSON is its text, booleans are words."""
    text = io.StringIO(newline="")
    write = csv.writer(text, lineterminator="\r\n").writerows
    write([[column.key for column in columns]])
    count, is_json = 0, [column.type is ColumnType.JSON for column in columns]
    for rows in chunks:
        apart = [at for at, json in enumerate(is_json) if json or not _PLAIN.issuperset(type(row[at]) for row in rows)]
        write(_cells(columns, rows, apart, count) if apart else rows)
        count += len(rows)
        yield _taken(text)
    yield _taken(text)


def _cells(columns: Sequence[ResultColumn], rows: Rows, apart: Sequence[int], before: int) -> Iterator[list[object]]:
    """The rows with texts for what CSV has no other way to write, in the columns ``apart``."""
    for number, row in enumerate(rows, start=before + 1):
        cells = list(row)
        for at in apart:
            value = row[at]
            if isinstance(value, bytes):
                raise _refused(number, columns[at].key, value, "")
            if value is not None and (columns[at].type is ColumnType.JSON or isinstance(value, bool | dict | list)):
                cells[at] = orjson.dumps(value).decode()
        yield cells


def _taken(text: io.StringIO) -> bytes:
    written = text.getvalue().encode()
    text.seek(0)
    text.truncate()
    return written
