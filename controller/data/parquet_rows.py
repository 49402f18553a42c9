"""Rows as Parquet; the only home of pyarrow, and imported for those alone who want it."""

import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from controller.data.result_columns import ResultColumn
from controller.data.row_formats import Rows
from schemas.collections import ColumnType
from schemas.errors import BadInput

GROUP_ROWS = 10_000
"""Of a row group; the first one's values also tell the types that nothing declares."""

_GROUP_CHARACTERS = 8 * 1024 * 1024  # a group of longer texts has fewer rows, so that it fits into memory

_TYPES = {
    ColumnType.TEXT: pa.string(),
    ColumnType.INTEGER: pa.int64(),
    ColumnType.REAL: pa.float64(),
    ColumnType.BOOLEAN: pa.bool_(),
    ColumnType.TIMESTAMP: pa.timestamp("us", tz="UTC"),
    ColumnType.JSON: pa.string(),
}

_MISFITS = (pa.ArrowException, OverflowError, TypeError, ValueError)


class _Sink(io.RawIOBase):
    """Where the writer writes; what it wrote is taken out group by group."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(memoryview(data))  # type: ignore[arg-type]  # it may reuse its buffer
        self._pieces.append(piece)
        return len(piece)

    def taken(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def parquet(columns: Sequence[ResultColumn], chunks: Iterable[Rows]) -> Iterator[bytes]:
    """A Parquet file, piece by piece.

    A column that is plainly a collection's has the type declared there, JSON being text; the type of any other is
    that of its values in the first group.

    Raises:
        BadInput: a value is of another type than those before it; the message says which.
    """
    sink, count = _Sink(), 0
    groups = _groups(chunks)
    first = next(groups, [])
    fields = [_field(column, [row[at] for row in first]) for at, column in enumerate(columns)]
    schema = pa.schema([field.arrow for field in fields])
    with pq.ParquetWriter(sink, schema) as writer:
        group = first
        while group:
            writer.write_batch(pa.record_batch(_arrays(fields, group, count), schema=schema))
            yield sink.taken()
            count += len(group)
            group = next(groups, [])
    yield sink.taken()


class _Field:
    """A column of the file."""

    def __init__(self, key: str, arrow_type: pa.DataType, kind: ColumnType | None) -> None:
        self.arrow, self._kind = pa.field(key, arrow_type), kind

    def array(self, values: Sequence[object]) -> pa.Array:
        """The values as Arrow has them. Raises one of ``_MISFITS``."""
        if self._kind is ColumnType.JSON:
            values = [None if value is None else orjson.dumps(value).decode() for value in values]
        if self._kind is ColumnType.TIMESTAMP:
            return pa.array(values, pa.string()).cast(self.arrow.type)
        found = pa.array(values)  # told a type, it would cut 2.5 to 2
        if pa.types.is_null(found.type) or (_is_number(found.type) and _is_number(self.arrow.type)):
            return found.cast(self.arrow.type)
        if found.type != self.arrow.type:
            raise TypeError(f"{found.type} is no {self.arrow.type}")
        return found


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_int64(kind) or pa.types.is_float64(kind))


def _groups(chunks: Iterable[Rows]) -> Iterator[Rows]:
    group: Rows = []
    characters = 0
    for rows in chunks:
        group += rows
        characters += sum(len(value) for row in rows for value in row if isinstance(value, str | bytes))
        if len(group) >= GROUP_ROWS or characters >= _GROUP_CHARACTERS:
            yield group
            group, characters = [], 0
    if group:
        yield group


def _field(column: ResultColumn, values: Sequence[object]) -> _Field:
    if column.type is not None:
        field = _Field(column.key, _TYPES[column.type], column.type)
        try:
            field.array(values)
        except _MISFITS:  # it only has the name of a declared column
            pass
        else:
            return field
    return _inferred(column.key, values)


def _inferred(key: str, values: Sequence[object]) -> _Field:
    if any(isinstance(value, dict | list) for value in values):
        return _Field(key, pa.string(), ColumnType.JSON)
    try:
        return _Field(key, pa.array(values).type, None)
    except _MISFITS as error:
        raise BadInput(
            f"column {key} holds values of several types, and Parquet takes one: {error}; CAST it"
        ) from error


def _arrays(fields: Sequence[_Field], rows: Rows, before: int) -> list[pa.Array]:
    arrays = []
    for at, field in enumerate(fields):
        values = [row[at] for row in rows]
        try:
            arrays.append(field.array(values))
        except _MISFITS as error:
            raise _misfit(field, values, before) from error
    return arrays


def _misfit(field: _Field, values: Sequence[object], before: int) -> BadInput:
    """Which row it was."""
    for number, value in enumerate(values, start=before + 1):
        try:
            field.array([value])
        except _MISFITS:
            kind = "nothing but null" if pa.types.is_null(field.arrow.type) else field.arrow.type
            return BadInput(
                f"row {number}: column {field.arrow.name} holds {str(value)[:60]!r}, and the rows before it held "
                f"{kind}; a Parquet column has one type: CAST it in the query"
            )
    return BadInput(f"column {field.arrow.name} cannot be written as Parquet")


def numeric_columns(path: Path) -> dict[str, bool]:
    """The columns of a file, in their order, and whether each holds numbers."""
    return {
        field.name: pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        for field in pq.read_schema(path)
    }
