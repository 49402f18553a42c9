"""Looks into rows that were selected for training: what their columns are called, and which of them hold numbers."""

import csv
from collections.abc import Iterable, Mapping
from importlib import import_module
from itertools import islice
from pathlib import Path

import orjson

from schemas.queries import Format

_ROWS = 100  # that are looked at; the first may have nulls
_LINE_BYTES = 1_000_000


def numeric_columns(path: Path, written: Format) -> dict[str, bool]:
    """The columns in their order, and whether each holds numbers, as far as the first rows tell. Blocks.

    Raises:
        ValueError: the file is none that Tidemill writes in this format.
        ImportError: it is Parquet, and what reads that is not installed.
    """
    match written:
        case "parquet":
            found: dict[str, bool] = import_module("controller.data.parquet_rows").numeric_columns(path)
            return found
        case "csv":
            with path.open(encoding="utf-8", newline="") as file:
                rows = csv.DictReader(file)
                return _numeric({key: _from_csv(text) for key, text in row.items()} for row in islice(rows, _ROWS))
        case "json" | "ndjson":
            with path.open("rb") as lines:  # a row a line, in both
                texts = (lines.readline(_LINE_BYTES).strip().rstrip(b",") for _ in range(_ROWS))
                return _numeric(_object(text) for text in texts if text not in {b"", b"[", b"]"})


def _object(line: bytes) -> dict[str, object]:
    row = orjson.loads(line)
    if not isinstance(row, dict):
        raise ValueError("not a row a line")  # noqa: TRY004 - what the file says is wrong, no type of ours
    return row


def _from_csv(text: str | None) -> object:
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        return text


def _numeric(rows: Iterable[Mapping[str, object]]) -> dict[str, bool]:
    seen: dict[str, set[bool]] = {}
    for row in rows:
        for key, value in row.items():
            kinds = seen.setdefault(key, set())
            if value is not None:
                kinds.add(isinstance(value, int | float) and not isinstance(value, bool))
    return {key: kinds == {True} for key, kinds in seen.items()}
