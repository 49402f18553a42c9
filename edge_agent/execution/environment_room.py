"""How much of the disk environments may take: those unused for longest go first, never one that somebody has."""

import logging
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge_agent.execution.environment_lock import locked_if_free
from edge_agent.execution.environment_place import Place, disk_use
from edge_agent.execution.uv_program import empty_cache
from schemas.errors import OutOfDisk

log = logging.getLogger(__name__)

_KEY = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Kept:
    """One whole environment in the cache."""

    place: Place
    size_bytes: int
    used_at: float  # seconds since 1970
    used: bool  # by a task or a pipeline that is still here


class Room:
    """The disk space of one agent's environments and of what uv has downloaded for them. Every method blocks."""

    def __init__(self, root: Path, tasks: Path, *, cap_bytes: int, reserve_bytes: int) -> None:
        self._root, self._tasks = root, tasks
        self._cap_bytes, self.reserve_bytes = cap_bytes, reserve_bytes

    def downloads(self, name: str) -> Path:
        """The folder for uv's cache of that name; what may install from one cache trusts whoever else does."""
        return self._root / "downloads" / name

    def keep_to_cap(self) -> None:
        """Drop what is beyond the cap: downloads that no environment shares first, then environments."""
        kept, downloads_bytes = self._kept(), disk_use(self._root / "downloads", single=True)
        over_bytes = sum(each.size_bytes for each in kept) + downloads_bytes - self._cap_bytes
        if over_bytes > 0 and downloads_bytes:
            over_bytes -= self._empty_downloads(downloads_bytes)
        self._drop(victims(kept, over_bytes))
        self._drop_halves()

    def make(self) -> None:
        """Have the reserve free before something is installed, at the cost of what no task uses.

        Raises:
            OutOfDisk: there is too little even so.
        """
        if self.is_short():
            self._empty_downloads(0)
            self._drop_halves()
            self._drop(victims(self._kept(), self.reserve_bytes - self._free_bytes))
        if self.is_short():
            raise OutOfDisk(
                f"not enough disk to install requirements: {self._free_bytes / 1e6:.0f} MB are free at {self._root}, "
                f"{self.reserve_bytes / 1e6:.0f} MB have to be (disk_reserve_mb of the agent's configuration)"
            )

    def is_short(self) -> bool:
        """Whether less than the reserve is left of the disk."""
        return self._free_bytes < self.reserve_bytes

    @property
    def _free_bytes(self) -> int:
        self._root.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self._root).free

    def _places(self) -> Iterator[Place]:
        return (Place(path) for path in self._root.glob("*") if _KEY.fullmatch(path.name))

    def _kept(self) -> list[Kept]:
        kept = []
        for place in self._places():
            with suppress(FileNotFoundError):  # another task's room is made at the same time
                if (size_bytes := place.size_bytes) is not None:
                    kept.append(Kept(place, size_bytes, place.used_at, place.is_used(self._tasks)))
        return kept

    def _drop(self, places: Iterable[Place]) -> None:
        for place in places:
            with locked_if_free(place.lock) as free:
                if free and not place.is_used(self._tasks):  # looked at again: a task may have come meanwhile
                    place.remove()
                    log.info("environment dropped", extra={"environment": place.folder.name})

    def _drop_halves(self) -> None:
        """Drop what an interrupted installation left and nobody asked for again."""
        for place in self._places():
            with locked_if_free(place.lock) as free:
                if free and place.size_bytes is None:
                    place.remove()

    def _empty_downloads(self, size_bytes: int) -> int:
        emptied = [empty_cache(folder) for folder in (self._root / "downloads").glob("*")]
        return size_bytes if emptied and all(emptied) else 0


def victims(kept: Iterable[Kept], over_bytes: int) -> list[Place]:
    """The environments to drop so that ``over_bytes`` go, if there are enough that no task uses."""
    chosen = []
    for each in sorted(kept, key=lambda each: each.used_at):
        if over_bytes <= 0:
            break
        if not each.used:
            chosen.append(each.place)
            over_bytes -= each.size_bytes
    return chosen
