"""Runs tasks in Docker containers.

An attempt's container has its name, so that there cannot be two, and keeps it until ``remove``: a restarted agent finds
it again. Output goes through the runner's log file, because Docker's own log rotates and cannot be gone on with.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from uuid import UUID

from edge_agent.execution import docker_options, task_folder
from edge_agent.execution.docker_engine import Described, DockerEngine
from edge_agent.execution.environment_place import Place, key_of
from edge_agent.execution.environments import EnvironmentCache, InstallSettings
from edge_agent.execution.executor import Environment, ExitResult, TaskHandle, TaskKey, TaskRequest
from edge_agent.execution.log_lines import follow
from edge_agent.execution.task_control import RunnerResult, read_result
from schemas.errors import TaskFailed, TidemillError, Unreachable

FIRST_LOOK_S, LONGEST_LOOK_S = 0.1, 0.5
_ENDED = {"exited", "dead"}
_KILLED = {137, 143, 255}  # SIGKILL, SIGTERM, and what Docker notes when the machine went down


class DockerExecutor:
    """Tasks as containers; implements ``Executor``."""

    name = "docker"

    def __init__(self, edge: str, image: str, tasks: Path, environments: Path, install: InstallSettings) -> None:
        self._edge, self._image, self._tasks, self._install = edge, image, tasks.absolute(), install
        self._environments = EnvironmentCache(environments.absolute(), install.timeout_s)
        self._engine = DockerEngine()
        self._starting = asyncio.Lock()  # one call must not start or remove what another is starting

    async def prepare(self, request: TaskRequest, note: Callable[[str], None]) -> Environment:
        """Have the image, and in a container of it make the environment, or find it."""
        image = request.image or self._image
        described = await self._have_image(image, note)
        key = key_of(request, self.name, described["Id"])
        install = partial(self._run_installer, described["Id"])
        cached = await self._environments.get(key, request, install, note)
        digest = next(iter(described.get("RepoDigests") or ()), described["Id"])
        return Environment(key, self._environments.place(key).venv, cached, image, digest)

    async def start(self, request: TaskRequest, environment: Environment) -> TaskHandle:
        """Create and start the container; one that was started is left alone."""
        name = docker_options.container_name(request.key)
        async with self._starting:
            if await self._engine.container(name) is None:
                options = docker_options.task_options(request, environment, self._install)
                labels = docker_options.labels(self._edge, self._tasks, request.key)
                await asyncio.to_thread(_give, [request.folder / part for part in docker_options.WRITABLE])
                await self._engine.create({**options, "labels": labels})
            found = await self._engine.container(name)
            if found is None:  # its name is taken before it is there, and until after it is gone
                raise Unreachable(f"Docker is still making or removing {name}")
            if found["State"]["Status"] == "created":
                await self._engine.start(name)
        return TaskHandle(request.key, found["Id"])

    async def wait(self, handle: TaskHandle) -> ExitResult | None:
        """Look at the container until it has ended."""
        pause_s = FIRST_LOOK_S
        while (found := await self._engine.container(handle.ref)) is not None:
            state = found["State"]
            if state["Status"] in _ENDED:
                return _exit_result(state, read_result(self._control(handle.key)))
            if state["Status"] == "created":
                return None  # the agent was killed before it started it
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, LONGEST_LOOK_S)
        return None

    async def log_lines(self, handle: TaskHandle, skip: int) -> AsyncIterator[str]:
        """Follow the log file that the runner writes."""
        waiting = asyncio.create_task(self.wait(handle), name=f"end of {handle.key}")

        async def ended() -> bool:
            if waiting.done():
                waiting.result()  # raises what the daemon's silence raised
            return waiting.done()

        try:
            async for line in follow(self._control(handle.key) / "log", skip, ended):
                yield line
        finally:
            waiting.cancel()
            await asyncio.wait([waiting])

    async def stop(self, handle: TaskHandle, *, grace_s: float) -> None:
        """SIGTERM reaches the script through the runner; after ``grace_s`` Docker kills all of the container."""
        await self._engine.stop(handle.ref, grace_s)

    async def find(self, key: TaskKey) -> TaskHandle | None:
        """Look for the container by its name; one that a killed agent created and did not start is removed."""
        name = docker_options.container_name(key)
        async with self._starting:
            found = await self._engine.container(name)
            if found is not None and found["State"]["Status"] == "created":
                await self._engine.remove(name)  # whatever was still about to start it
                return None
        return TaskHandle(key, found["Id"]) if found is not None else None

    async def all(self) -> list[TaskHandle]:
        """Look for containers by this agent's labels."""
        found = await self._engine.containers(docker_options.labels(self._edge, self._tasks))
        return [TaskHandle(_key_of_labels(row["Labels"]), row["Id"]) for row in found]

    async def remove(self, handle: TaskHandle) -> None:
        """Remove the container."""
        await self._engine.remove(handle.ref)

    async def close(self) -> None:
        """Let go of the daemon."""
        await self._engine.close()

    def _control(self, key: TaskKey) -> Path:
        return task_folder.folder_of(self._tasks, key) / "control"

    async def _have_image(self, image: str, note: Callable[[str], None]) -> Described:
        if (described := await self._engine.image(image)) is None:
            note(f"pulling the image {image}")
            try:
                await self._engine.pull(image)
            except TaskFailed as error:
                raise TaskFailed(_no_image(image, str(error))) from error
            described = await self._engine.image(image)
        if described is None:
            raise TaskFailed(_no_image(image, "it vanished after the pull"))
        return described

    async def _run_installer(self, image_id: str, place: Place, _lock: int) -> int:
        """Install in a container; one that a killed agent left is replaced, and so needs not to inherit the lock."""
        options = docker_options.installer_options(place, image_id, self._install)
        name = options["name"]
        await self._engine.remove(name)
        await asyncio.to_thread(_give, [place.venv, place.log])
        try:
            await self._engine.create(options)
            await self._engine.start(name)
            pause_s = FIRST_LOOK_S
            while (found := await self._engine.container(name)) is not None:
                if found["State"]["Status"] in _ENDED:
                    return int(found["State"]["ExitCode"])
                await asyncio.sleep(pause_s)
            raise TaskFailed(f"the installing container {name} was removed by somebody")
        finally:
            await self._engine.remove(name)


async def availability(image: str) -> str | None:
    """Why tasks of this image cannot run in Docker here; None if they can."""
    engine = DockerEngine()
    try:
        if await engine.image(image) is None and not await engine.is_in_registry(image):
            return _no_image(image, "no registry has it, or none can be reached")
    except TidemillError as error:
        return str(error)
    finally:
        await engine.close()
    return None


def _no_image(image: str, why: str) -> str:
    return (
        f"the image {image} is not on this machine and cannot be pulled ({why}); bring it here with "
        f"`docker pull {image}` or `docker load`, or name another in the job (image) or the agent's settings"
    )


def _key_of_labels(labels: dict[str, str]) -> TaskKey:
    return TaskKey(UUID(labels["tidemill.run"]), int(labels["tidemill.attempt"]))


def _exit_result(state: Described, result: RunnerResult | None) -> ExitResult | None:
    """Docker's exit code is the truth; the runner's words are taken where they agree with it."""
    code = int(state["ExitCode"])
    if result is not None and result.exit_code != code:
        result = None
    known = ExitResult(code, "a script", _seconds(state)) if result is None else result.exit_result
    if state.get("OOMKilled") and code != 0:
        return replace(known, out_of_memory=True)
    killed = result.stopped if result is not None else code in _KILLED
    return None if killed else known


def _seconds(state: Described) -> float:
    started, finished = (datetime.fromisoformat(state[name]) for name in ("StartedAt", "FinishedAt"))
    return max(0.0, (finished - started).total_seconds())


def _give(folders: list[Path]) -> None:
    """Let the container's user write to these, which this agent made."""
    uid, gid = docker_options.user()
    if os.getuid() != 0:
        return
    for folder in folders:
        for parent, _, files in os.walk(folder):
            os.chown(parent, uid, gid, follow_symlinks=False)
            for name in files:
                os.chown(Path(parent, name), uid, gid, follow_symlinks=False)
