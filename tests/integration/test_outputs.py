"""Collecting outputs from real folders, as honest and as hostile scripts leave them."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from edge_agent.execution import outputs, task_folder
from edge_agent.execution.executor import TaskKey
from schemas.errors import TaskFailed
from schemas.jobs import Limits
from schemas.tasks import TaskSpec
from transport.blob_store import BlobDirectory


@pytest.fixture
def blobs(tmp_path: Path) -> BlobDirectory:
    """The agent's blobs."""
    return BlobDirectory(tmp_path / "blobs")


@pytest.fixture
def spec() -> TaskSpec:
    """A task with one metric, whose outputs may take a megabyte."""
    return TaskSpec(run_id=uuid4(), job="iris", scripts=(), metrics=("accuracy",), limits=Limits(output_mb=1))


@pytest.fixture
def folder(tmp_path: Path, spec: TaskSpec, blobs: BlobDirectory) -> Path:
    """The folder of a task that made all it should."""
    folder = task_folder.create(tmp_path / "tasks", TaskKey(spec.run_id, 1), spec, blobs).folder
    (folder / "output/model.onnx").write_bytes(b"onnx")
    (folder / "output/metrics/accuracy.txt").write_text("0.5")
    return folder


def test_collecting_again_gives_the_same(folder: Path, spec: TaskSpec, blobs: BlobDirectory) -> None:
    """After a crash the outputs are still there, and make the same blobs."""
    (folder / "output/additional_output/a/b").mkdir(parents=True)
    (folder / "output/additional_output/a/b/c.bin").write_bytes(b"1")
    first = outputs.collect(folder, spec, blobs)
    assert outputs.collect(folder, spec, blobs) == first
    assert set(first.additional) == {"a/b/c.bin"}


def test_a_missing_or_empty_model_is_told(folder: Path, spec: TaskSpec, blobs: BlobDirectory) -> None:
    """A script that wrote no model fails."""
    (folder / "output/model.onnx").write_bytes(b"")
    with pytest.raises(TaskFailed, match="nothing was written to model_file_path"):
        outputs.collect(folder, spec, blobs)
    (folder / "output/model.onnx").unlink()
    with pytest.raises(TaskFailed, match="nothing was written to model_file_path"):
        outputs.collect(folder, spec, blobs)


@pytest.mark.parametrize("text", ["", "good", "nan", "inf", "0.5 0.6"])
def test_a_metric_that_is_no_number_is_told(folder: Path, spec: TaskSpec, blobs: BlobDirectory, text: str) -> None:
    """What is not one finite number is shown in the reason."""
    (folder / "output/metrics/accuracy.txt").write_text(text)
    with pytest.raises(TaskFailed, match=f"'accuracy' is no finite number: accuracy_path holds '{text[:100]}'"):
        outputs.collect(folder, spec, blobs)


def test_a_metric_that_is_no_text_of_a_number_is_not_read_whole(
    folder: Path, spec: TaskSpec, blobs: BlobDirectory
) -> None:
    """A file that is far too long for a number is refused by its size."""
    (folder / "output/metrics/accuracy.txt").write_text("1" * 5000)
    with pytest.raises(TaskFailed, match=r"metrics/accuracy\.txt is larger than 4096 bytes"):
        outputs.collect(folder, spec, blobs)


def test_a_missing_metric_is_told(folder: Path, spec: TaskSpec, blobs: BlobDirectory) -> None:
    """A declared metric must be written."""
    (folder / "output/metrics/accuracy.txt").unlink()
    with pytest.raises(TaskFailed, match="'accuracy' is declared, but nothing was written to accuracy_path"):
        outputs.collect(folder, spec, blobs)


def make_socket(path: Path) -> None:
    """Leave a socket there; its name must be short, so it is bound from its folder."""
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(path.parent)
        server.bind(path.name)
        os.chdir(here)


def make_device(path: Path) -> None:
    """Leave a device there, as a script can that runs as root."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root can make a device")


HOSTILE: dict[str, Callable[[Path], object]] = {
    "a symbolic link": lambda path: path.symlink_to("/etc/hostname"),
    "a named pipe": os.mkfifo,
    "a socket": make_socket,
    "a device": make_device,
    "a hard link": lambda path: (
        path.hardlink_to(path.parents[1] / "input/order.json")
        if path.parent.name == "output"
        else path.hardlink_to(path.parents[2] / "input/order.json")
    ),
}


@pytest.mark.parametrize("place", ["model.onnx", "metrics/accuracy.txt", "additional_output/x", "else"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_only_plain_files_are_taken(folder: Path, spec: TaskSpec, blobs: BlobDirectory, place: str, kind: str) -> None:
    """Links, pipes and sockets anywhere in the output are refused by name, and never opened or followed."""
    path = folder / "output" / place
    path.unlink(missing_ok=True)
    HOSTILE[kind](path)
    with pytest.raises(TaskFailed, match=f"output/{place} is {kind}.*only plain files are collected"):
        outputs.collect(folder, spec, blobs)


def test_a_folder_that_is_a_link_is_not_entered(folder: Path, spec: TaskSpec, blobs: BlobDirectory) -> None:
    """Neither a folder of outputs nor the output folder itself may lead elsewhere."""
    (folder / "output/additional_output").rmdir()
    (folder / "output/additional_output").symlink_to("/etc")
    with pytest.raises(TaskFailed, match="output/additional_output is a symbolic link"):
        outputs.collect(folder, spec, blobs)
    (folder / "output").rename(folder / "elsewhere")
    (folder / "output").symlink_to(folder / "elsewhere")
    with pytest.raises(TaskFailed, match="was a folder and is something else now"):
        outputs.collect(folder, spec, blobs)


def test_too_much_is_refused(folder: Path, spec: TaskSpec, blobs: BlobDirectory) -> None:
    """Size, number and depth of what is collected are bounded, also of a file that is large in name only."""
    additional = folder / "output/additional_output"
    with (additional / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(TaskFailed, match=r"limits.output_mb is 1 \(the largest is output/additional_output/sparse\)"):
        outputs.collect(folder, spec, blobs)
    (additional / "sparse").unlink()
    (additional / "/".join("d" * 20)).mkdir(parents=True)
    with pytest.raises(TaskFailed, match="nested deeper than 16 folders"):
        outputs.collect(folder, spec, blobs)
    task_folder.wipe(additional)
    additional.mkdir()
    for number in range(outputs.FILES_LIMIT + 1):
        (additional / str(number)).touch()
    with pytest.raises(TaskFailed, match="more than 1000 files in output/additional_output/"):
        outputs.collect(folder, spec, blobs)


@pytest.mark.parametrize("name", [b"back\\slash", b"not-utf8-\xff", b"x" * 240])
def test_names_that_cannot_travel_are_told(folder: Path, spec: TaskSpec, blobs: BlobDirectory, name: bytes) -> None:
    """A file whose path fits into no document fails the task instead of breaking the documents."""
    deep = folder / "output/additional_output" / ("y" * 240) / ("z" * 240) if len(name) > 200 else folder / "output"
    deep.mkdir(parents=True, exist_ok=True)
    with open(os.path.join(os.fsencode(deep), name), "wb"):  # noqa: PTH118, PTH123 - a name in bytes
        pass
    with pytest.raises(TaskFailed, match="has a name that cannot be kept"):
        outputs.collect(folder, spec, blobs)


@pytest.mark.parametrize("metric", ["progress", "base_model", "model_file"])
def test_a_metric_cannot_take_a_variable_of_the_contract(tmp_path: Path, blobs: BlobDirectory, metric: str) -> None:
    """A metric whose variable has another meaning already is refused before anything runs."""
    spec = TaskSpec(run_id=uuid4(), job="iris", scripts=(), metrics=(metric,))
    with pytest.raises(TaskFailed, match=f"{metric}_path is part of the job contract"):
        task_folder.create(tmp_path, TaskKey(spec.run_id, 1), spec, blobs)


def test_a_folder_is_made_anew_after_a_crash(tmp_path: Path, spec: TaskSpec, blobs: BlobDirectory) -> None:
    """What an interrupted attempt to make it left, closed folders included, is gone."""
    key = TaskKey(spec.run_id, 1)
    folder = task_folder.create(tmp_path, key, spec, blobs).folder
    (folder / "output/old").mkdir()
    (folder / "output/old").chmod(0)
    task_folder.create(tmp_path, key, spec, blobs)
    assert sorted(path.name for path in (folder / "output").iterdir()) == ["additional_output", "metrics"]
    assert task_folder.keys(tmp_path) == [key]
