"""Runs a job's scripts on this machine, in the contract that an edge gives them: for whoever writes such scripts."""

import os
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from edge_agent.data_folder import DataFolder
from edge_agent.execution import container_user, task_folder
from edge_agent.execution.executor import Executor, TaskKey, TaskRequest
from edge_agent.execution.install_settings import InstallSettings
from edge_agent.execution.outputs import collect
from edge_agent.execution.secret_folder import SecretFolders, memory_folder
from schemas.errors import TaskFailed
from schemas.names import BlobRef
from schemas.runs import Outputs
from schemas.tasks import TaskSpec
from transport.blob_store import BlobDirectory

_GRACE_S = 2.0  # for scripts that are interrupted


@dataclass(frozen=True, slots=True)
class Choices:
    """What a person chose for a trial."""

    executor: str  # process or docker
    image: str  # for jobs that name none, with docker
    output: Path  # where what the scripts made goes
    secrets: Mapping[str, str]  # by name; the controller tells nobody its own


async def run_trial(
    task: TaskSpec, choices: Choices, fetch: Callable[[BlobRef, Path], None], line: Callable[[str], None]
) -> Outputs:
    """Do a task once, and leave what it made in ``choices.output``.

    Args:
        task: what an edge would be told.
        choices: how.
        fetch: writes an input's bytes to a file.
        line: takes each line of the log, and what happens before the first one.

    Raises:
        TaskFailed: the scripts failed, or what they made is not what it should be; the message says why.
    """
    with TemporaryDirectory(prefix="tidemill-trial-") as home:
        folder = DataFolder(Path(home))
        blobs = BlobDirectory(folder.blobs)
        for name, ref in dict(task.files()).items():
            line(f"fetching {name}")
            fetch(ref, folder.root / "fetched")
            blobs.put_file(folder.root / "fetched", move=True)
        async with AsyncExitStack() as stack:
            executor = _executor(folder, choices)
            stack.push_async_callback(executor.close)
            request = await stack.enter_async_context(_laid_out(task, folder, blobs, choices))
            await _run(executor, request, line)
            outputs = collect(request.folder, task, blobs)
        _leave(outputs, blobs, choices.output)
    return outputs


def _executor(folder: DataFolder, choices: Choices) -> Executor:
    # Environments outlive the trial: the next one of the same job starts at once.
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "tidemill" / "trial-environments"
    cache.mkdir(parents=True, exist_ok=True)
    install = InstallSettings()
    if choices.executor == "docker":
        from edge_agent.execution.docker_executor import DockerExecutor  # noqa: PLC0415 - needs the Docker SDK

        return DockerExecutor(
            edge="trial", image=choices.image, tasks=folder.tasks, environments=cache, install=install
        )
    from edge_agent.execution.process_executor import ProcessExecutor  # noqa: PLC0415 - see above

    return ProcessExecutor(folder.tasks, cache, install)


@asynccontextmanager
async def _laid_out(
    task: TaskSpec, folder: DataFolder, blobs: BlobDirectory, choices: Choices
) -> AsyncIterator[TaskRequest]:
    key = TaskKey(task.run_id, 1)
    request = task_folder.create(folder.tasks, key, task, blobs)
    if task.edge_folder is not None:
        request = replace(request, edge_folder=_here(task.edge_folder))
    owner = container_user.user() if choices.executor == "docker" else None
    secrets = SecretFolders(folder.tasks, memory_folder(folder.root), owner=owner)
    missing = [use.secret for use in task.secrets if use.secret not in choices.secrets]
    if missing:
        raise TaskFailed(f"the job uses secrets: give values to try it with, as --secret {missing[0]}=VALUE")
    try:
        if task.secrets:
            request = replace(request, secrets=secrets.create(key, task.secrets, choices.secrets))
        yield request
    finally:
        secrets.remove(key)


def _here(path: str) -> Path:
    folder = Path(path)
    if not folder.is_dir():
        raise TaskFailed(f"the job's edge_folder {path} is not on this machine; make one with data to try it on")
    return folder.resolve()


async def _run(executor: Executor, request: TaskRequest, line: Callable[[str], None]) -> None:
    environment = await executor.prepare(request, line)
    handle = await executor.start(request, environment)
    try:
        async for text in executor.log_lines(handle, 0):
            line(text)
        result = await executor.wait(handle)
    finally:
        await executor.stop(handle, grace_s=_GRACE_S)
        await executor.remove(handle)
    if result is None:
        raise TaskFailed("the scripts did not end by themselves")
    if result.passed:
        raise TaskFailed(f"{result.script} was ended because it passed limits.{result.passed}")
    if result.exit_code:
        raise TaskFailed(f"{result.script} ended with exit code {result.exit_code}")


def _leave(outputs: Outputs, blobs: BlobDirectory, folder: Path) -> None:
    tree = {"model.onnx": outputs.model}
    tree |= {f"additional_output/{path}": ref for path, ref in outputs.additional.items()}
    for place, ref in tree.items():
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(blobs.path(ref.digest), target)
