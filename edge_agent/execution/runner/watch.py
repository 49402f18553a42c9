"""Looks after a task's limits while its scripts run, and says which one was passed."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from pathlib import Path
from typing import Any

from .process_tree import Process, memory_bytes

LOOK_EVERY_S = 0.25
COST = 5  # looking may take one part in so many of the time
_LIMITS = {"output": "output_mb", "work": "scratch_mb"}  # by folder, as a job calls them
OVERTIME_S = 15.0  # the agent ends a task at its timeout; so much later it is ended without the agent


class Watch:
    """Measures; that something is done about it is up to the caller.

    Args:
        folder: the attempt's.
        order: ``disk_bytes`` of folders in it, ``reserve_bytes`` of disk that stay free, ``timeout_s``.
        alone: nothing else enforces ``memory_bytes`` and ``pids`` of the order, as a container does.
    """

    def __init__(self, folder: Path, order: dict[str, Any], *, alone: bool) -> None:
        self._folder, self._order = folder, order
        self._memory_bytes: int | None = order.get("memory_bytes") if alone else None
        self._pids: int | None = order.get("pids") if alone else None
        self._ends_at = time.monotonic() + order["timeout_s"] + OVERTIME_S
        self._next_look = self._next_walk = 0.0
        self.memory_peak_bytes = 0

    @property
    def due(self) -> bool:
        """Whether it is time to look."""
        return time.monotonic() >= self._next_look

    def look(self, processes: list[Process], *, thoroughly: bool = False) -> str:
        """The limit that was passed, empty if none was.

        Args:
            processes: that the scripts have now.
            thoroughly: whatever the last look at the disk cost.
        """
        now = time.monotonic()
        self._next_look = now + LOOK_EVERY_S
        used_bytes = memory_bytes(processes, self._memory_bytes)
        self.memory_peak_bytes = max(self.memory_peak_bytes, used_bytes)
        if self._memory_bytes is not None and used_bytes > self._memory_bytes:
            return "memory_mb"
        if self._pids is not None and sum(process.threads for process in processes) > self._pids:
            return "pids"
        if now > self._ends_at:
            return "timeout_s"
        if _free_bytes(self._folder) < self._order["reserve_bytes"]:
            return "disk_reserve_mb"
        return self._folders(now) if thoroughly or now >= self._next_walk else ""

    def _folders(self, started: float) -> str:
        full = [name for name, most in self._order["disk_bytes"].items() if disk_use(self._folder / name, most) > most]
        self._next_walk = time.monotonic() + COST * (time.monotonic() - started)
        return _LIMITS.get(full[0], full[0]) if full else ""


def disk_use(folder: Path, limit_bytes: int) -> int:
    """Bytes of disk below a folder, with holes in files counted as if they were filled; stops beyond the limit.

    Folders that are nested deeper than a path can be long are beyond any limit: nobody could look into them.
    """
    used, folders = 0, [str(folder)]
    while folders and used <= limit_bytes:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        used += max(4096, status.st_size, status.st_blocks * 512)  # an empty file takes an inode
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(entry.path)
        except OSError as error:  # it has gone, or was shut
            if error.errno == errno.ENAMETOOLONG:
                return limit_bytes + 1
    return used


def _free_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
