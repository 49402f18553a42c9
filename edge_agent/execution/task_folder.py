"""The attempt's private folder: what its scripts find there, and the variables that tell them where.

<tasks>/<run>-<attempt>/
    input/    scripts/, data, requirements, base model, the runner and its order; read-only
    output/   model.onnx, additional_output/, metrics/, progress.jsonl
    work/     the scripts' home and working folder; forgotten afterwards
    control/  the runner's claim, log and result
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from edge_agent.execution import runner
from edge_agent.execution.executor import TaskKey, TaskRequest
from schemas.errors import TaskFailed
from schemas.names import BlobRef
from schemas.tasks import TaskSpec
from transport.blob_store import BlobDirectory

PARAMS_LIMIT_BYTES = 100_000  # Linux takes 128 KiB in one variable
SCRATCH_FACTOR = 4  # work/ may hold so many times what output/ may

_FOLDERS = ("input/scripts", "output/additional_output", "output/metrics", "work/tmp", "control")


def folder_of(tasks: Path, key: TaskKey) -> Path:
    """Where the attempt's folder is, or would be."""
    return tasks / str(key)


def keys(tasks: Path) -> list[TaskKey]:
    """Every attempt that has a folder."""
    if not tasks.is_dir():
        return []
    return [key for path in sorted(tasks.iterdir()) if (key := TaskKey.parse(path.name)) is not None]


def create(root: Path, key: TaskKey, spec: TaskSpec, blobs: BlobDirectory) -> TaskRequest:
    """Make the attempt's folder, clean; blocks while it copies the inputs.

    What an interrupted ``create`` left is wiped, so ask ``Executor.find`` first: a started task's folder is its own.

    Raises:
        TaskFailed: the spec cannot be laid out (a name clashes or is too long, the disk is full).
        NotFound: an input is not held.
    """
    folder = folder_of(root, key)
    request = TaskRequest(
        key=key,
        folder=folder,
        scripts=tuple(script.name for script in spec.scripts),
        variables=_variables(key, spec),
        paths=_paths(spec),
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
        for place, blob in _files(spec):
            _copy(blobs.path(blob.digest), folder / place)
        _write_order(folder, spec)
        _protect(folder / "input")
    except OSError as error:
        raise TaskFailed(f"the task's folder cannot be made: {error}") from error
    return request


def wipe(folder: Path) -> None:
    """Remove a folder and all in it, whatever permissions were left there; that there is none is no error."""
    if not folder.exists():
        return
    folder.chmod(0o700)
    for parent, _, _ in os.walk(folder):  # top down: a folder is opened up before it is read
        for child in Path(parent).iterdir():
            if child.is_dir() and not child.is_symlink():
                child.chmod(0o700)
    shutil.rmtree(folder)


def _variables(key: TaskKey, spec: TaskSpec) -> dict[str, str]:
    params = json.dumps(spec.params)
    if len(params) > PARAMS_LIMIT_BYTES:
        raise TaskFailed(f"params are {len(params)} bytes as JSON; at most {PARAMS_LIMIT_BYTES} fit into a variable")
    return {
        "TIDEMILL_RUN_ID": str(key.run_id),
        "TIDEMILL_JOB": spec.job,
        "TIDEMILL_ATTEMPT": str(key.attempt),
        "TIDEMILL_PARAMS": params,
    }


def _paths(spec: TaskSpec) -> dict[str, str]:
    paths = {
        "model_file_path": "output/model.onnx",
        "additional_output_folder_path": "output/additional_output/",
        "progress_path": "output/progress.jsonl",
        "base_model_path": "input/base_model.onnx",
    }
    for data in spec.data:
        paths[f"collection_data_{data.index}_path"] = f"input/collection_data_{data.index}.json"
    for metric in spec.metrics:
        variable = f"{metric}_path"
        if variable in paths:
            raise TaskFailed(f"the metric {metric!r} cannot have that name: {variable} is part of the job contract")
        paths[variable] = f"output/metrics/{metric}.txt"
    if spec.base_model is None:
        del paths["base_model_path"]
    return paths


def _files(spec: TaskSpec) -> Iterator[tuple[str, BlobRef]]:
    for script in spec.scripts:
        yield f"input/scripts/{script.name}", script.blob
    for data in spec.data:
        yield f"input/collection_data_{data.index}.json", data.blob
    for path, blob in spec.additional.items():
        yield f"output/additional_output/{path}", blob
    if spec.requirements is not None:
        yield "input/requirements.txt", spec.requirements
    if spec.base_model is not None:
        yield "input/base_model.onnx", spec.base_model


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as reader, target.open("xb") as writer:  # a blob's own file is never linked into a task
        shutil.copyfileobj(reader, writer, 1024 * 1024)


def _write_order(folder: Path, spec: TaskSpec) -> None:
    output_bytes = spec.limits.output_mb * 1024 * 1024
    order = {
        "scripts": [script.name for script in spec.scripts],
        "disk_bytes": {"output": output_bytes, "work": SCRATCH_FACTOR * output_bytes},
    }
    (folder / "input/order.json").write_text(json.dumps(order), encoding="utf-8")
    shutil.copyfile(runner.__file__, folder / "input/runner.py")


def _protect(folder: Path) -> None:
    """Readable by the user that a container runs as, writable by nobody."""
    for parent, _, files in os.walk(folder):
        for name in files:
            Path(parent, name).chmod(0o444)
        Path(parent).chmod(0o555)
