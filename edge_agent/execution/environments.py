"""The cache of environments: each made once per executor, Python or image, platform and requirements."""

import asyncio
import fcntl
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_agent.execution.environment_place import Place
from edge_agent.execution.executor import TaskRequest
from edge_agent.execution.log_lines import follow
from edge_agent.polling import until
from schemas.errors import TaskFailed

NOTED = ("Collecting ", "Downloading ", "Building ", "Installing ")  # of what pip says, for people who wait
NOTE_LIMIT = 160
FAILURE_LINES = 15
KEPT = 20  # environments; beyond them those unused for longest go
UNUSED_S = 2 * 86400.0  # but none that a task may still run in


@dataclass(frozen=True, slots=True)
class InstallSettings:
    """Where requirements come from, as the agent's configuration says."""

    index_url: str | None = None  # default: what pip's own configuration says
    wheelhouse: Path | None = None  # a folder of wheels that pip looks into as well
    ca_bundle: Path | None = None  # authorities to trust; default: this machine's
    pip_args: tuple[str, ...] = ()  # such as --no-index
    timeout_s: float = 1800.0

    def pip_arguments(self, requirements: str, wheelhouse: str) -> list[str]:
        """What ``pip install`` is given, with paths as the installer sees them."""
        index = ["--index-url", self.index_url] if self.index_url else []
        links = ["--find-links", wheelhouse] if self.wheelhouse else []
        return ["--requirement", requirements, *index, *links, *self.pip_args]


Install = Callable[[Place, int], Coroutine[None, None, int]]
"""Runs ``installer.py`` for a place, to be given the descriptor of its lock to inherit; returns the exit code."""


class EnvironmentCache:
    """The environments of one machine; several agents may share the folder."""

    def __init__(self, root: Path, timeout_s: float) -> None:
        self._root, self._timeout_s = root, timeout_s

    def place(self, key: str) -> Place:
        """Where the environment of this name is, or would be."""
        return Place(self._root / key)

    async def get(self, key: str, request: TaskRequest, install: Install, note: Callable[[str], None]) -> bool:
        """Have the environment at ``place(key)``; whether it was there already.

        Raises:
            TaskFailed: it cannot be made, with the installer's last lines, or not in time.
        """
        place = self.place(key)
        try:
            async with asyncio.timeout(self._timeout_s), _locked(place, note) as lock:
                if place.complete.exists():
                    place.complete.touch()
                    return True
                note("installing requirements" if request.requirements else "making an environment")
                await asyncio.to_thread(place.clear, request.requirements)
                await _run(install(place, lock), place, note)
                await asyncio.to_thread(place.mark_complete)
        except TimeoutError as error:
            raise TaskFailed(f"the requirements were not installed within {self._timeout_s:.0f} s") from error
        await asyncio.to_thread(self._drop_unused)
        return False

    def _drop_unused(self) -> None:
        """Keep the cache from growing for ever."""
        marks = sorted(self._root.glob("*/complete"), key=lambda mark: mark.stat().st_mtime, reverse=True)
        for mark in marks[KEPT:]:
            if mark.stat().st_mtime < marks[0].stat().st_mtime - UNUSED_S:
                Place(mark.parent).drop()


@asynccontextmanager
async def _locked(place: Place, note: Callable[[str], None]) -> AsyncIterator[int]:
    """Wait for whoever installs this; an installer that outlived its agent counts."""
    place.folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(place.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _try_lock(lock):
            note("waiting for the same environment to be installed")
            await until(lambda: _try_lock(lock))
        yield lock
    finally:
        os.close(lock)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _run(install: Coroutine[None, None, int], place: Place, note: Callable[[str], None]) -> None:
    """Install, passing on what pip says. Raises TaskFailed with its last lines."""
    running = asyncio.create_task(install, name=f"install {place.folder.name}")
    last: deque[str] = deque(maxlen=FAILURE_LINES)

    async def ended() -> bool:
        return running.done()

    try:
        async for line in follow(place.log / "pip.log", 0, ended):
            last.append(line)
            if line.lstrip().startswith(NOTED):
                note(line.strip()[:NOTE_LIMIT])
        code = await running
    finally:
        running.cancel()
        await asyncio.wait([running])
    if code != 0:
        await asyncio.to_thread(place.drop)
        said = "\n".join(last) or "the installer said nothing"
        raise TaskFailed(f"the requirements cannot be installed (exit code {code}):\n{said}")
