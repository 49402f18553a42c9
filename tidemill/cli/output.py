"""How answers are printed: data on stdout as a table or as JSON, everything else on stderr."""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel

Item = TypeVar("Item", bound="BaseModel")
Columns = Mapping[str, Callable[[Item], object]]

WIDTH_IN_PIPES = 1000  # nothing is cut or wrapped where a program reads


def print_list(items: Sequence[Item], columns: Columns[Item], *, as_json: bool, empty: str) -> None:
    """One line for each item, or a JSON array; ``empty`` is said when there is none."""
    if as_json:
        print_json([item.model_dump(mode="json") for item in items])
    elif items:
        print_table(tuple(columns), [[cell(item) for cell in columns.values()] for item in items])
    else:
        say(empty)


def print_one(item: Item, fields: Columns[Item], *, as_json: bool) -> None:
    """One line for each field that has a value, or a JSON object."""
    if as_json:
        print_json(item.model_dump(mode="json"))
        return
    rows = [[name, value(item)] for name, value in fields.items()]
    print_table((), [row for row in rows if row[1] not in (None, "", ())])


def print_table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Aligned columns without lines, so that they can be cut and searched too."""
    from rich.console import Console  # noqa: PLC0415 - see the package's first line
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table: Table = Table(*heads, box=None, show_header=bool(heads), pad_edge=False, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*(Text(printable(_text(cell))) for cell in row))
    Console(width=None if sys.stdout.isatty() else WIDTH_IN_PIPES).print(table)


def print_json(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Indented JSON on stdout."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def say(message: str) -> None:
    """Tell a person something that is not data: on stderr."""
    typer.echo(message, err=True)


def printable(text: str) -> str:
    """Text from outside without the control characters that could steer a terminal."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "\N{REPLACEMENT CHARACTER}", text)


def ago(moment: datetime | None) -> str:
    """How long ago, or in how long, in one unit."""
    if moment is None:
        return ""
    seconds = (datetime.now(UTC) - moment).total_seconds()
    amount, unit = next(
        (int(abs(seconds) // size), unit)
        for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (0.001, "s"))
        if abs(seconds) >= size or unit == "s"
    )
    if unit == "s":
        amount = round(abs(seconds))
    return f"{amount} {unit} ago" if seconds >= 0 else f"in {amount} {unit}"


def amount(size_bytes: float) -> str:
    """Bytes in the unit in which people read them."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.3g} TB"


def pairs(values: Mapping[str, object]) -> str:
    """``a=1 b=2``."""
    return " ".join(f"{name}={_text(value)}" for name, value in values.items())


def _text(value: object) -> str:
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
