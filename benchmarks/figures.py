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


@dataclass(frozen=True, slots=True)
class Figure:
    """Something measured a few times, and what it should be at most."""

    name: str
    values: tuple[float, ...]
    unit: str
    goal: float | None = None

    def as_row(self) -> dict[str, object]:
        """For JSON: every value, not only what the table shows."""
        median, most = round(statistics.median(self.values), 3), round(max(self.values), 3)
        values = [round(value, 3) for value in self.values]
        return {
            "name": self.name,
            "unit": self.unit,
            "median": median,
            "max": most,
            "goal": self.goal,
            "values": values,
        }


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """What every benchmark's command line has; ``doc`` is its module's."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write all values there")
    return parser


def tell(title: str, figures: Iterable[Figure], to: Path | None) -> None:
    """Print the table, and write the JSON to a file or print it too."""
    rows = [figure.as_row() for figure in figures]
    print(f"\n{title}\n{'':<44}{'n':>4}{'median':>11}{'max':>11}{'goal':>9}")
    for row, figure in zip(rows, figures, strict=True):
        goal = "" if figure.goal is None else f"{figure.goal:g}"
        print(
            f"{figure.name:<44}{len(figure.values):>4}{row['median']:>11.3f}{row['max']:>11.3f}{goal:>9} {figure.unit}"
        )
    text = json.dumps({"title": title, "machine": _machine(), "figures": rows}, indent=1)
    to.write_text(text) if to else print(text)


def _machine() -> dict[str, object]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),  # whatever else ran has its share in the figures
        "platform": platform.platform(),
        "python": platform.python_version(),
    }
