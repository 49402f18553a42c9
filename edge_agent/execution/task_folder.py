"""The attempt's private folder: what its scripts find there, and the variables that tell them where.

<tasks>/<run>-<attempt>/
    input/    scripts/, data, requirements, base model, the runner and its order; read-only
    output/   model.onnx, additional_output/, metrics/, metrics.json, progress.jsonl
    work/     the scripts' home and working folder; forgotten afterwards
    control/  the runner's claim, log and result
"""

import errno
import json
import os
import shutil
from pathlib import Path
from uuid import uuid4

from edge_agent.execution import job_contract, runner
from edge_agent.execution.executor import TaskKey, TaskRequest
from schemas.errors import OutOfDisk, TaskFailed
from schemas.tasks import TaskSpec
from transport.blob_store import BlobDirectory

CONTROL_BYTES = 64 * 1024 * 1024  # of control/: the runner needs a sixth, the rest is a script's mischief
NO_ROOM = {errno.ENOSPC, errno.EDQUOT}  # of an OSError: the disk is full
_MIB = 1024 * 1024

_FOLDERS = ("input/scripts", "output/additional_output", "output/metrics", "work/tmp", "control")


def folder_of(tasks: Path, key: TaskKey) -> Path:
    """Where the attempt's folder is, or would be."""
    return tasks / str(key)


def keys(tasks: Path) -> list[TaskKey]:
    """Every attempt that has a folder."""
    if not tasks.is_dir():
        return []
    return [key for path in sorted(tasks.iterdir()) if (key := TaskKey.parse(path.name)) is not None]


def create(root: Path, key: TaskKey, spec: TaskSpec, blobs: BlobDirectory, *, reserve_bytes: int = 0) -> TaskRequest:
    """Make the attempt's folder, clean; blocks while it copies the inputs.

    What an interrupted ``create`` left is wiped, so ask ``Executor.find`` first: a started task's folder is its own.

    Args:
        root: where the folders of all attempts are.
        key: the attempt.
        spec: what its scripts need.
        blobs: where the inputs are.
        reserve_bytes: of disk; the scripts are ended when less is free.

    Raises:
        OutOfDisk: there is no room for it.
        TaskFailed: the spec cannot be laid out (a name clashes or is too long).
        NotFound: an input is not held.
    """
    folder = folder_of(root, key)
    request = TaskRequest(
        key=key,
        folder=folder,
        scripts=tuple(script.name for script in spec.scripts),
        variables=job_contract.variables(key, spec),
        paths=job_contract.paths(spec),
        limits=spec.limits,
        image=spec.image,
        requirements=folder / "input/requirements.txt" if spec.requirements else None,
        requirements_digest=spec.requirements.digest if spec.requirements else None,
    )
    try:
        wipe(folder)
        for name in _FOLDERS:
            (folder / name).mkdir(parents=True)
        folder.chmod(0o700)
        for place, blob in spec.files():
            _copy(blobs.path(blob.digest), folder / place)
        _write_order(folder, spec, reserve_bytes)
        _protect(folder / "input")
    except OSError as error:
        kind = OutOfDisk if error.errno in NO_ROOM else TaskFailed
        raise kind(f"the task's folder cannot be made: {error}") from error
    return request


def wipe(folder: Path) -> None:
    """Remove a folder and all in it, whatever permissions were left there; that there is none is no error.

    A script may nest folders deeper than a path can be long or a call can go: what lies deeper is moved up first.
    """
    if not folder.exists():
        return
    folder.chmod(0o700)
    while below := list(folder.iterdir()):
        for path in below:
            for child in _opened(path):
                if _opened(child):
                    child.rename(folder / uuid4().hex)
                else:
                    _remove(child)
            _remove(path)
    folder.rmdir()


def _opened(path: Path) -> list[Path]:
    """What is in a folder, which may be changed from now on; nothing if it is none."""
    if path.is_symlink() or not path.is_dir():
        return []
    path.chmod(0o700)
    return list(path.iterdir())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink()


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as reader, target.open("xb") as writer:  # a blob's own file is never linked into a task
        shutil.copyfileobj(reader, writer, 1024 * 1024)


def _write_order(folder: Path, spec: TaskSpec, reserve_bytes: int) -> None:
    limits = spec.limits
    order = {
        "scripts": [script.name for script in spec.scripts],
        "disk_bytes": {"output": limits.output_mb * _MIB, "work": limits.scratch_mb * _MIB, "control": CONTROL_BYTES},
        "reserve_bytes": reserve_bytes,
        "timeout_s": limits.timeout_s,
        "cpus": limits.cpus,
        "memory_bytes": limits.memory_mb * _MIB if limits.memory_mb else None,
        "pids": limits.pids,
        "network": limits.network,
    }
    (folder / "input/order.json").write_text(json.dumps(order), encoding="utf-8")
    modules = Path(runner.__file__).parent
    shutil.copytree(modules, folder / "input/runner", ignore=shutil.ignore_patterns("__pycache__"))


def _protect(folder: Path) -> None:
    """Readable by the user that a container runs as, writable by nobody."""
    for parent, _, files in os.walk(folder):
        for name in files:
            Path(parent, name).chmod(0o444)
        Path(parent).chmod(0o555)
