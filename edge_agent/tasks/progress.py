"""What scripts append to ``progress_path``: which lines are points, and an even choice of them when there are many."""

import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from edge_agent.execution import task_folder
from edge_agent.execution.executor import TaskKey
from edge_agent.execution.log_lines import follow
from schemas.names import BlobRef
from transport.blob_store import BlobDirectory

MOST_NUMBERS = 20  # of one point
LONGEST_NAME = 64
POINTS_KEPT = 4000
POINTS_LIVE = 1000  # sent one by one; after so many every second one is, then every fourth …


def point(line: str) -> str | None:
    """A line as a point: a compact JSON object of its finite numbers, or None if it has none."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    numbers = {name: value for name, value in found.items() if _is_number(value) and len(name) <= LONGEST_NAME}
    if not numbers or len(numbers) > MOST_NUMBERS:
        return None
    return json.dumps(numbers, separators=(",", ":"))


class EvenChoice:
    """Keeps at most so many points, evenly spread over however many come, and always the last."""

    def __init__(self, most: int = POINTS_KEPT) -> None:
        self._most, self._stride, self._count = most, 1, 0
        self._kept: list[str] = []
        self._last = ""

    def add(self, new: str) -> None:
        """Take the next point."""
        if self._count % self._stride == 0:
            self._kept.append(new)
            if len(self._kept) == self._most:
                del self._kept[1::2]
                self._stride *= 2
        self._count += 1
        self._last = new

    @property
    def points(self) -> list[str]:
        """Those that are kept, in order."""
        last_is_kept = self._count == 0 or (self._count - 1) % self._stride == 0
        return self._kept if last_is_kept else [*self._kept, self._last]


async def live_points(tasks: Path, key: TaskKey, ended: Callable[[], Awaitable[bool]]) -> AsyncIterator[str]:
    """The points of a running task as they come, ever fewer of them the more there are."""
    number = sent = 0
    async for new in _points(tasks, key, ended):
        if number % (1 << sent // POINTS_LIVE) == 0:
            sent += 1
            yield new
        number += 1


async def keep(tasks: Path, key: TaskKey, blobs: BlobDirectory) -> BlobRef | None:
    """The points of an ended task as a blob of JSON lines; None if there are none."""
    choice = EvenChoice()
    async for new in _points(tasks, key, _over):
        choice.add(new)
    return blobs.put_bytes("".join(f"{kept}\n" for kept in choice.points).encode()) if choice.points else None


async def _points(tasks: Path, key: TaskKey, ended: Callable[[], Awaitable[bool]]) -> AsyncIterator[str]:
    path = task_folder.folder_of(tasks, key) / "output/progress.jsonl"
    async for line in follow(path, 0, ended):
        if (new := point(line)) is not None:
            yield new


async def _over() -> bool:
    return True


def _is_number(value: object) -> bool:
    return (isinstance(value, float) and math.isfinite(value)) or (type(value) is int and abs(value) < 2**63)
