"""Figures that were measured at different times in one JSON file, and as tables for the documentation."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.engine.peers import ANSWERS, LOST, MEMORY, P50, P99, PROCESSOR
from benchmarks.engine.subjects import SUBJECTS
from benchmarks.figures import Figure, document

Row = Mapping[str, Any]
"""A figure, as it stands in the JSON."""

COLUMNS = {ANSWERS: "messages/s", PROCESSOR: "processor, µs/message", P50: "p50, ms", P99: "p99, ms", MEMORY: "RSS, MB"}
NOTHING = "–"


class Report:
    """The parts that were measured so far. Each is written at once: a run that was interrupted is gone on with."""

    def __init__(self, file: Path | None) -> None:
        """Take what the file has."""
        self._file = file
        self.parts: dict[str, Any] = json.loads(file.read_text())["parts"] if file and file.exists() else {}

    def put(self, part: str, title: str, figures: Iterable[Figure]) -> None:
        """In the place of what there was of this part."""
        self.parts[part] = document(title, figures)
        if self._file is not None:
            self._file.write_text(json.dumps({"title": "The engine's speed", "parts": self.parts}))


def markdown(parts: Mapping[str, Any]) -> str:
    """Tables for ``docs/benchmarks.md``: medians, and what should be at most."""
    tables = []
    for part, told in parts.items():
        rows: list[Row] = told["figures"]
        machine = told["machine"]
        tables.append(f"### {told['title']}\n\nMeasured {machine['at'][:10]}, load {machine['load']}.")
        if part == "peers":
            tables += [_subjects(rows, qos) for qos in (0, 1)]
            rows = [row for row in rows if not row["name"].startswith("QoS")]
        tables.append(_plain(rows))
    return "\n\n".join(tables) + "\n"


def _subjects(rows: Iterable[Row], qos: int) -> str:
    """A line for each subject."""
    by_name = {row["name"]: row for row in rows}
    columns = COLUMNS | ({LOST: "lost"} if qos else {})
    lines = [f"| QoS {qos} | {' | '.join(columns.values())} |", f"|---|{'---|' * len(columns)}"]
    for subject in SUBJECTS:
        found = [by_name.get(f"QoS {qos}, {subject}: {what}") for what in columns]
        if any(found):
            lines.append(f"| {subject} | {' | '.join(_value(row) for row in found)} |")
    return "\n".join(lines)


def _plain(rows: Iterable[Row]) -> str:
    """A line for each figure."""
    lines = ["| | median | max | goal |", "|---|---|---|---|"]
    for row in rows:
        unit = "" if row["unit"] == "×" else f" {row['unit']}"
        goal = "" if row["goal"] is None else f"{row['goal']:g}{unit}"
        p99 = f", p99 {_number(row['p99'])}" if "p99" in row else ""
        lines.append(f"| {row['name']} | {_number(row['median'])}{unit}{p99} | {_number(row['max'])} | {goal} |")
    return "\n".join(lines)


def _value(row: Row | None) -> str:
    return NOTHING if row is None else _number(row["median"])


def _number(value: float) -> str:
    """With about three digits that mean something."""
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 or value == int(value) else f"{value:.{1 if size >= 10 else 2}f}"
