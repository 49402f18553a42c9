"""Who may change an environment's place: one at a time, and also an installer that outlived its agent counts."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from edge_agent.polling import LOOK_S


@asynccontextmanager
async def locked(lock: Path, waiting: Callable[[], None]) -> AsyncIterator[int]:
    """Hold the lock, once whoever has it lets go; ``waiting`` is told if that takes time. Gives its descriptor."""
    descriptor = _take(lock)
    if descriptor is None:
        waiting()
    while descriptor is None:
        await asyncio.sleep(LOOK_S)
        descriptor = _take(lock)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def locked_if_free(lock: Path) -> Iterator[bool]:
    """Hold the lock if nobody has it; whether that is so."""
    descriptor = _take(lock)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _take(lock: Path) -> int | None:
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:  # the place was removed just now
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_ino == lock.stat().st_ino:  # else the place was removed after it was opened
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None
