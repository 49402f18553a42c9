"""Reads the numbers that scripts wrote: a declared metric's as text, any as JSON to ``metrics_path``. Pure."""

import json
import math
import re
from collections.abc import Iterable, Iterator

from schemas.errors import TaskFailed

TEXT_LIMIT_BYTES = 4096
JSON_LIMIT_BYTES = 256 * 1024
MOST_METRICS = 200  # they travel in one message
LONGEST_NAME = 63


def of_text(name: str, data: bytes) -> float:
    """The value in a metric's own file.

    Raises:
        TaskFailed: it is not one finite number.
    """
    text = data.decode(errors="replace").strip()
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise TaskFailed(f"the metric {name!r} is no finite number: {name}_path holds {text[:100]!r}")
    return value


def of_json(data: bytes) -> dict[str, float]:
    """What was written to ``metrics_path``: an object of numbers, or of such objects.

    The names of nested ones are joined, and what no metric's name may hold becomes ``_``:
    ``{"macro avg": {"f1-score": 0.9}}`` gives ``macro_avg_f1_score``.

    Raises:
        TaskFailed: it is something else; the message says where.
    """
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise TaskFailed(f"metrics_path holds no JSON that can be read: {error}") from error
    if not isinstance(found, dict):
        raise TaskFailed('metrics_path holds no JSON object; write one such as {"loss": 0.1, "epochs": 20}')
    metrics: dict[str, float] = {}
    for name, value in _flattened(found, ""):
        if name in metrics:
            raise TaskFailed(f"metrics_path holds two metrics that would both be called {name!r}")
        metrics[name] = value
    return metrics


def check(found: dict[str, float], required: Iterable[str]) -> None:
    """Whether they can be told, and none is missing. Raises TaskFailed."""
    missing = next((name for name in required if name not in found), None)
    if missing is not None:
        raise TaskFailed(
            f"the metric {missing!r} is declared, but nothing was written to {missing}_path, nor is it in metrics_path"
        )
    if len(found) > MOST_METRICS:
        raise TaskFailed(f"there are {len(found)} metrics; at most {MOST_METRICS} are kept")


def _flattened(values: dict[str, object], prefix: str) -> Iterator[tuple[str, float]]:
    for key, value in values.items():
        name = _name(prefix + re.sub(r"\W", "_", key, flags=re.ASCII))
        if isinstance(value, dict):
            yield from _flattened(value, f"{name}_")
        else:
            yield name, _number(name, value)


def _name(name: str) -> str:
    name = name if re.match("[A-Za-z_]", name) else f"_{name}"
    if len(name) > LONGEST_NAME:
        raise TaskFailed(f"metrics_path holds a metric whose name is too long: {name[:100]!r}; {LONGEST_NAME} fit")
    return name


def _number(name: str, value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            if math.isfinite(value):
                return float(value)
        except OverflowError:
            pass
    raise TaskFailed(f"metrics_path holds no finite number for {name!r}, but {str(value)[:100]!r}")
