"""How figures are told: a table for people, and JSON for programs with the machine that they come from."""

import argparse
import json
import os
import platform
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ENOUGH = 100  # values for a 99th percentile; so many are not listed one by one


@dataclass(frozen=True, slots=True)
class Figure:
    """Something measured a few times, and what its 99th percentile, or its median without one, should be at most."""

    name: str
    values: tuple[float, ...]
    unit: str
    goal: float | None = None

    def as_row(self) -> dict[str, object]:
        """For JSON: what the table shows, and the values themselves where they are few."""
        row: dict[str, object] = {
            "name": self.name,
            "unit": self.unit,
            "n": len(self.values),
            "median": round(statistics.median(self.values), 3),
            "max": round(max(self.values), 3),
            "goal": self.goal,
        }
        if len(self.values) < ENOUGH:
            return row | {"values": [round(value, 3) for value in self.values]}
        return row | {"p99": round(statistics.quantiles(self.values, n=100)[98], 3)}


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """What every benchmark's command line has; ``doc`` is its module's."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures there")
    return parser


def tell(title: str, figures: Iterable[Figure], to: Path | None) -> None:
    """Print the table, and write the JSON to a file or print it too."""
    there = list(figures)
    show(title, there)
    text = json.dumps(document(title, there))
    to.write_text(text) if to else print(text)


def show(title: str, figures: Iterable[Figure]) -> None:
    """Print the table."""
    rows = [figure.as_row() for figure in figures]
    width = max([40, *(len(str(row["name"])) + 1 for row in rows)])
    print(f"\n{title}\n{'':<{width}}{'n':>6}{'median':>12}{'p99':>12}{'max':>12}{'goal':>8}")
    for row in rows:
        p99, goal = row.get("p99", ""), "" if row["goal"] is None else row["goal"]
        print(f"{row['name']:<{width}}{row['n']:>6}{row['median']:>12}{p99:>12}{row['max']:>12}{goal:>8} {row['unit']}")


def document(title: str, figures: Iterable[Figure]) -> dict[str, object]:
    """For JSON: the figures, and the machine that they come from."""
    return {"title": title, "machine": _machine(), "figures": [figure.as_row() for figure in figures]}


def _machine() -> dict[str, object]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),  # whatever else ran has its share in the figures
        "platform": platform.platform(),
        "python": platform.python_version(),
    }
