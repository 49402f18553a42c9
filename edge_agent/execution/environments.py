"""The cache of environments: each made once per executor, Python or image, platform and requirements."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge_agent.execution.environment_lock import locked
from edge_agent.execution.environment_place import Place
from edge_agent.execution.environment_room import Room
from edge_agent.execution.executor import Environment, NeedsEnvironment
from edge_agent.execution.install_settings import InstallSettings
from edge_agent.execution.log_lines import follow
from edge_agent.patience import to_its_end
from edge_agent.polling import until
from schemas.errors import OutOfDisk, TaskFailed

log = logging.getLogger(__name__)

# Of what installers say, for people who wait.
NOTED = ("Collecting ", "Downloading ", "Building ", "Installing ", "Resolved ", "Downloaded ", "Prepared ", "+ ")
NOTE_LIMIT = 160
FAILURE_LINES, FAILURE_LINE_LENGTH = 12, 200
_DISK_IS_FULL = ("No space left on device", "os error 28", "Errno 28")


@dataclass(frozen=True, slots=True)
class Installer:
    """One way to install."""

    name: Literal["uv", "pip"]
    run: Callable[[Place, int], Coroutine[None, None, int]]
    """Runs ``installer.py`` for a place, to be given the descriptor of its lock to inherit; returns the exit code."""


class EnvironmentCache:
    """The environments of one agent."""

    def __init__(self, root: Path, tasks: Path, install: InstallSettings) -> None:
        self._root, self._tasks, self._timeout_s = root, tasks, install.timeout_s
        self.room = Room(root, tasks, cap_bytes=install.environments_bytes, reserve_bytes=install.reserve_bytes)

    def holds(self, key: str) -> bool:
        """Whether the environment of this name is there, whole."""
        return Place(self._root / key).size_bytes is not None

    async def get(
        self, key: str, request: NeedsEnvironment, installers: Sequence[Installer], note: Callable[[str], None]
    ) -> Environment:
        """Have the environment of this name, made by the first installer that can.

        The place stays locked until whatever changes it has ended, also when that is cancelled.

        It is kept for as long as the request's folder is there.

        Raises:
            TaskFailed: it cannot be made, with the installers' last lines, or not in time.
            OutOfDisk: there is too little room for it.
        """
        place = Place(self._root / key)

        def waiting() -> None:
            note("waiting for the same environment to be installed")

        try:
            async with asyncio.timeout(self._timeout_s), locked(place.lock, waiting) as lock:
                if place.size_bytes is not None:
                    place.give_to(request.folder)
                    return Environment(key, place.venv, cached=True)
                await asyncio.to_thread(self.room.make)
                note("installing requirements" if request.requirements else "making an environment")
                try:
                    made_by = await self._install(place, request, installers, lock, note)
                except TaskFailed:
                    await to_its_end(asyncio.to_thread(place.remove))
                    raise
                await to_its_end(asyncio.to_thread(place.mark_complete))
                place.give_to(request.folder)
        except TimeoutError as error:
            raise TaskFailed(f"the requirements were not installed within {self._timeout_s:.0f} s") from error
        await self._keep_to_cap()
        return Environment(key, place.venv, cached=False, installer=made_by if request.requirements else "")

    async def _install(
        self,
        place: Place,
        request: NeedsEnvironment,
        installers: Sequence[Installer],
        lock: int,
        note: Callable[[str], None],
    ) -> str:
        """Try one installer after the other; the name of the one that could."""
        failures = []
        for number, installer in enumerate(installers, 1):
            await to_its_end(asyncio.to_thread(place.clear, request.requirements))
            code, last = await self._run(installer.run(place, lock), place, note)
            if code == 0:
                return installer.name
            if any(sign in line for line in last for sign in _DISK_IS_FULL):
                raise OutOfDisk("the disk became full while requirements were installed:\n" + "\n".join(last))
            said = last or ["it said nothing"]
            failures.append(f"with {installer.name} (exit code {code}):\n" + "\n".join(said))
            if number < len(installers):
                reason = f"{installer.name} could not install the requirements ({said[-1]})"
                note(f"{reason}; trying {installers[number].name}")
        raise TaskFailed("the requirements cannot be installed, " + "\n".join(failures))

    async def _run(
        self, install: Coroutine[None, None, int], place: Place, note: Callable[[str], None]
    ) -> tuple[int, list[str]]:
        """Install, passing on what the installer says; its exit code and its last lines."""
        running = asyncio.create_task(install, name=f"install {place.folder.name}")
        watching = asyncio.create_task(self._watch_disk(running), name=f"disk for {place.folder.name}")
        last: deque[str] = deque(maxlen=FAILURE_LINES)

        async def ended() -> bool:
            return running.done()

        try:
            async for line in follow(place.log / "install.log", 0, ended):
                last.append(line[:FAILURE_LINE_LENGTH])
                if line.lstrip().startswith(NOTED):
                    note(line.strip()[:NOTE_LIMIT])
            if watching.done():
                watching.result()  # the disk is nearly full
            return await running, list(last)
        finally:
            for task in (running, watching):
                task.cancel()
            await asyncio.wait([running, watching])

    async def _watch_disk(self, running: asyncio.Task[int]) -> None:
        """End an installation before it has filled the disk. Raises OutOfDisk."""
        await until(self.room.is_short)
        running.cancel()
        left_mb = self.room.reserve_bytes / 1e6
        raise OutOfDisk(
            f"the installation of the requirements was ended: it left less than {left_mb:.0f} MB of disk free"
        )

    async def _keep_to_cap(self) -> None:
        try:
            await asyncio.to_thread(self.room.keep_to_cap)
        except OSError:  # the task has what it needs
            log.exception("environments cannot be dropped")
