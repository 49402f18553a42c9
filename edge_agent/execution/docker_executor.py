"""Runs tasks in Docker containers.

An attempt's container has its name, so that there cannot be two, and keeps it until ``remove``: a restarted agent finds
it again. Output goes through the runner's log file, because Docker's own log rotates and cannot be gone on with.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from uuid import UUID

from edge_agent.capabilities import gpu_count
from edge_agent.execution import docker_options, task_folder
from edge_agent.execution.container_user import give
from edge_agent.execution.docker_engine import ENDED, Described, DockerEngine
from edge_agent.execution.docker_installer import docker_installers
from edge_agent.execution.environment_place import key_of
from edge_agent.execution.environments import EnvironmentCache
from edge_agent.execution.executor import Environment, ExitResult, TaskHandle, TaskKey, TaskRequest
from edge_agent.execution.images import have_image
from edge_agent.execution.install_settings import InstallSettings
from edge_agent.execution.log_lines import follow
from edge_agent.execution.task_control import RunnerResult, read_result
from schemas.errors import TaskFailed, Unreachable

FIRST_LOOK_S, LONGEST_LOOK_S = 0.1, 0.5
_KILLED = {137, 143, 255}  # SIGKILL, SIGTERM, and what Docker notes when the machine went down


class DockerExecutor:
    """Tasks as containers; implements ``Executor``."""

    name = "docker"

    def __init__(self, edge: str, image: str, tasks: Path, environments: Path, install: InstallSettings) -> None:
        self._edge, self._image, self._tasks, self._install = edge, image, tasks.absolute(), install
        self._environments = EnvironmentCache(environments.absolute(), self._tasks, install)
        self._engine = DockerEngine()
        self._starting = asyncio.Lock()  # one call must not start or remove what another is starting

    async def prepare(self, request: TaskRequest, note: Callable[[str], None]) -> Environment:
        """Have the image, and in a container of it make the environment, or find it."""
        if request.limits.gpus > (there := gpu_count()):
            raise TaskFailed(f"the job asks for {request.limits.gpus} GPUs (limits.gpus), this edge has {there}")
        image = await have_image(self._engine, request.image or self._image, note)
        key = key_of(request, self.name, image.id)
        downloads = self._environments.room.downloads(image.id.removeprefix("sha256:"))
        installers = docker_installers(self._engine, self._install, image.id, request.requirements, downloads)
        made = await self._environments.get(key, request, installers, note)
        await self._gpus(request.limits.gpus)  # waited for before the start, whose time counts
        return replace(made, image=image.name, image_digest=image.digest)

    async def start(self, request: TaskRequest, environment: Environment) -> TaskHandle:
        """Create and start the container; one that was started is left alone."""
        name = docker_options.container_name(request.key)
        async with self._starting:
            if await self._engine.container(name) is None:
                gpus = await self._gpus(request.limits.gpus)
                options = docker_options.task_options(request, environment, self._install, gpus)
                labels = docker_options.labels(self._edge, self._tasks, request.key, gpus)
                await asyncio.to_thread(give, [request.folder / part for part in docker_options.WRITABLE])
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
            if state["Status"] in ENDED:
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

    async def _gpus(self, wanted: int) -> list[int]:
        """Those that no other task of this agent has. Raises Unreachable while there are too few of them."""
        if wanted == 0:
            return []
        others = await self._engine.containers(docker_options.labels(self._edge, self._tasks))
        running = [row["Labels"].get("tidemill.gpus", "") for row in others if row["State"] not in ENDED]
        taken = {int(gpu) for gpus in running for gpu in gpus.split()}
        if (gpus := docker_options.free_gpus(wanted, gpu_count(), taken)) is None:
            raise Unreachable(f"other tasks have the GPUs: {wanted} wanted (limits.gpus), {len(taken)} taken")
        return gpus


def _key_of_labels(labels: dict[str, str]) -> TaskKey:
    return TaskKey(UUID(labels["tidemill.run"]), int(labels["tidemill.attempt"]))


def _exit_result(state: Described, result: RunnerResult | None) -> ExitResult | None:
    """Docker's exit code is the truth; the runner's words are taken where they agree with it."""
    code = int(state["ExitCode"])
    if result is not None and result.exit_code != code:
        result = None
    known = ExitResult(code, "a script", _seconds(state)) if result is None else result.exit_result
    if state.get("OOMKilled") and code != 0:
        return replace(known, passed="memory_mb")
    killed = result.stopped if result is not None else code in _KILLED
    return None if killed else known


def _seconds(state: Described) -> float:
    started, finished = (datetime.fromisoformat(state[name]) for name in ("StartedAt", "FinishedAt"))
    return max(0.0, (finished - started).total_seconds())
