"""Runs tasks as processes of this machine, for machines without Docker. It does not isolate.

A task is its runner, in a session of its own, so that it outlives the agent. Everything about it is in its folder: the
claim that the runner holds locked while it lives, the log and the result. There is nothing else to lose in a crash.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

from edge_agent.execution import task_folder
from edge_agent.execution.environment_place import key_of
from edge_agent.execution.environments import EnvironmentCache
from edge_agent.execution.executor import Environment, ExitResult, TaskHandle, TaskKey, TaskRequest
from edge_agent.execution.install_settings import InstallSettings
from edge_agent.execution.log_lines import follow
from edge_agent.execution.process_installer import OWN_PYTHON, process_installers
from edge_agent.execution.process_search import kill_processes
from edge_agent.execution.task_control import claimed_by, forbid_start, is_running, read_result
from edge_agent.execution.task_variables import for_scripts, of_machine
from edge_agent.polling import LOOK_S, until
from schemas.errors import TaskFailed

START_TIMEOUT_S = 30.0
KILL_TIMEOUT_S = 3.0
KILL_ROUNDS = 30
LAUNCHING, FORGOTTEN = "launching", "forgotten"  # marks in the folder `control`


class ProcessExecutor:
    """Tasks as processes; implements ``Executor``."""

    name = "process"

    def __init__(self, tasks: Path, environments: Path, install: InstallSettings) -> None:
        self._tasks, self._install = tasks, install
        self._environments = EnvironmentCache(environments.absolute(), tasks, install)
        self._starting = asyncio.Lock()  # so that nobody takes a task that is being started for one cut off

    async def prepare(self, request: TaskRequest, note: Callable[[str], None]) -> Environment:
        """Make a virtual environment with the agent's own Python, or find it."""
        if request.edge_folder is not None:
            note(f"a process of this machine can write to {request.edge_folder} too, as far as the agent's user may")
        key = key_of(request, *OWN_PYTHON)
        installers = process_installers(self._install, self._environments.room.downloads(self.name))
        return await self._environments.get(key, request, installers, note)

    async def start(self, request: TaskRequest, environment: Environment) -> TaskHandle:
        """Start the runner; it refuses by itself to run an attempt a second time."""
        async with self._starting:
            if self._started(request.key) is None:
                (self._control(request.key) / LAUNCHING).touch()
                await asyncio.to_thread(_launch, request, environment)
            started = self._started(request.key)
        if started is None:
            await self._kill(request.key)  # of scripts that deleted the claim at once
            raise TaskFailed(f"the scripts cannot be started: no runner came up in {request.folder}")
        return started

    async def wait(self, handle: TaskHandle) -> ExitResult | None:
        """Wait for the runner, then end what its scripts left running."""
        control = self._control(handle.key)
        await until(lambda: not is_running(control))
        await self._kill(handle.key)
        result = read_result(control)
        return result.exit_result if result is not None and not result.stopped else None

    async def log_lines(self, handle: TaskHandle, skip: int) -> AsyncIterator[str]:
        """Follow the log file that the runner writes."""
        control = self._control(handle.key)

        async def ended() -> bool:
            return not is_running(control)

        async for line in follow(control / "log", skip, ended):
            yield line

    async def stop(self, handle: TaskHandle, *, grace_s: float) -> None:
        """The runner passes SIGTERM on to its script; what is left after ``grace_s`` is killed."""
        control = self._control(handle.key)
        runner = claimed_by(control)
        if runner is not None and is_running(control):
            with suppress(ProcessLookupError):
                os.kill(runner, signal.SIGTERM)
            await until(lambda: not is_running(control), grace_s)
        await self._kill(handle.key)
        # The runner goes last: it may still note that its script was killed.
        if not await until(lambda: not is_running(control), KILL_TIMEOUT_S) and runner is not None:
            with suppress(ProcessLookupError):
                os.kill(runner, signal.SIGKILL)
            await until(lambda: not is_running(control), KILL_TIMEOUT_S)

    async def find(self, key: TaskKey) -> TaskHandle | None:
        """Look for the runner's claim; one that a killed agent launched and that has none yet is kept from starting."""
        async with self._starting:
            if self._started(key) is None and (self._control(key) / LAUNCHING).exists():
                forbid_start(self._control(key))
            return self._started(key)

    async def all(self) -> list[TaskHandle]:
        """Every task whose folder has a claim."""
        found = [self._started(key) for key in task_folder.keys(self._tasks)]
        return [handle for handle in found if handle is not None]

    async def remove(self, handle: TaskHandle) -> None:
        """Mark it as forgotten; the claim stays, so that the attempt cannot run again."""
        control = self._control(handle.key)
        if control.is_dir():
            (control / FORGOTTEN).touch()

    async def close(self) -> None:
        """Nothing is held."""

    def _started(self, key: TaskKey) -> TaskHandle | None:
        control = self._control(key)
        runner = claimed_by(control)
        if runner is None or (control / FORGOTTEN).exists():
            return None
        return TaskHandle(key, str(runner))

    def _control(self, key: TaskKey) -> Path:
        return task_folder.folder_of(self._tasks, key) / "control"

    async def _kill(self, key: TaskKey) -> None:
        """Kill every process of a task but its runner, again and again until there is none."""
        runner = claimed_by(self._control(key))
        for _ in range(KILL_ROUNDS):  # bounded: not even SIGKILL ends a process that waits for a broken disk
            if await asyncio.to_thread(kill_processes, key, but=runner):
                return
            await asyncio.sleep(LOOK_S)


def _launch(request: TaskRequest, environment: Environment) -> None:
    """Start a detached runner; blocks until it has claimed the attempt."""
    root, venv = str(request.folder), str(environment.path)
    machine = of_machine()
    variables = machine | for_scripts(request.contract(root), root, venv, machine.get("PATH", os.defpath))
    if request.edge_folder is not None:
        variables["edge_folder_path"] = str(request.edge_folder)
    secrets = ["--secrets", str(request.secrets)] if request.secrets else []
    try:
        subprocess.run(
            [f"{venv}/bin/python", "-I", f"{root}/input/runner", root, "--detach", *secrets],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=request.folder / "work",
            env=variables,
            timeout=START_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TaskFailed(f"the scripts cannot be started: {error}") from error
