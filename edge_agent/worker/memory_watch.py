"""Ends a worker that takes more memory than its pipeline may."""

import asyncio
from collections.abc import Callable

import psutil

LOOK_S = 0.5


async def too_large(pid: int, limit_mb: Callable[[], int | None]) -> str:
    """Return, in words, when a process and its children together take more memory than they may.

    Args:
        pid: the process; when it has ended, it takes none.
        limit_mb: how much they may take now; None: as much as there is.
    """
    while True:
        try:
            used_mb = _resident_bytes(pid) / 1e6
        except psutil.NoSuchProcess:
            used_mb = 0.0
        limit = limit_mb()
        if limit is not None and used_mb > limit:
            return f"it took {used_mb:.0f} MB of memory, and may take {limit} (memory_mb)"
        await asyncio.sleep(LOOK_S)


def _resident_bytes(pid: int) -> int:
    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    return sum(_own_bytes(one) for one in family)


def _own_bytes(process: psutil.Process) -> int:
    try:
        resident: int = process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0
    return resident
