"""Reads the rows of a CSV file as if they were JSON. Pure."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator

import orjson

from controller.data.payloads import Items, Unreadable
from schemas.collections import CollectionSpec, ColumnType
from schemas.errors import BadInput


def csv_rows(lines: Iterable[tuple[int, bytes]], spec: CollectionSpec) -> Items:
    """The rows of a CSV file, given as numbered lines; the first one names the columns.

    Raises:
        BadInput: while they come: the file is not CSV, or its first line does not fit the collection.
    """
    reader = csv.reader(_decoded(lines), strict=True)
    try:
        header = next(reader, [])
        _check_header(header, spec)
        for cells in reader:
            if cells:
                yield f"line {reader.line_num}: ", _row_of(cells, header, spec)
    except csv.Error as error:
        raise BadInput(f"line {reader.line_num} is not CSV: {error}") from error


def _decoded(lines: Iterable[tuple[int, bytes]]) -> Iterator[str]:
    for number, line in lines:
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise BadInput(f"line {number} is not UTF-8: {error}") from error


def _check_header(header: list[str], spec: CollectionSpec) -> None:
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise BadInput(f"the first line names column {twice[0]!r} twice")
    if not set(header) & spec.columns.keys():
        raise BadInput(f"the first line names none of the columns {', '.join(spec.columns)}")
    missing = [name for name in spec.required if name not in header]
    if missing:
        raise BadInput(f"the first line does not name the required column {missing[0]!r}")


def _row_of(cells: list[str], header: list[str], spec: CollectionSpec) -> object:
    """A row as JSON would have it. An empty cell is null; what is not understood stays text, and so does not fit."""
    if len(cells) != len(header):
        return Unreadable(f"{len(cells)} cells, but {len(header)} columns", ",".join(cells).encode())
    return {
        name: _CELLS[spec.columns[name]](cell) if cell and name in spec.columns else cell or None
        for name, cell in zip(header, cells, strict=True)
    }


def _number(cell: str) -> object:
    """A number as JSON would give it: one of more than 64 bits as a real."""
    if re.fullmatch(r"\s*[+-]?\d{1,18}\s*", cell, re.ASCII):
        return int(cell)
    try:
        return cell if "_" in cell else float(cell)
    except ValueError:
        return cell


def _boolean(cell: str) -> object:
    return {"true": True, "1": True, "false": False, "0": False}.get(cell.strip().lower(), cell)


def _json(cell: str) -> object:
    try:
        return orjson.loads(cell)
    except orjson.JSONDecodeError:
        return cell


_CELLS: dict[ColumnType, Callable[[str], object]] = {
    ColumnType.TEXT: str,
    ColumnType.INTEGER: _number,
    ColumnType.REAL: _number,
    ColumnType.BOOLEAN: _boolean,
    ColumnType.TIMESTAMP: str.strip,
    ColumnType.JSON: _json,
}
