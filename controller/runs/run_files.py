"""Every file that a run was given and that it made, as one tree of blobs. Pure."""

from collections.abc import Iterator

from controller.runs.steps import Run
from schemas.models import MODEL_FILE
from schemas.names import BlobRef, FileTree
from schemas.tasks import TaskSpec


def files_of(run: Run, task: TaskSpec | None) -> FileTree:
    """The tree, with ``input/`` and ``output/`` at its top; of a run whose data is not selected yet it is empty.

    Args:
        run: its last attempt's log and outputs are in the tree.
        task: what its edge was told, if that is written down.
    """
    return dict([*_inputs(task), *_outputs(run)])


def _inputs(task: TaskSpec | None) -> Iterator[tuple[str, BlobRef]]:
    if task is None:
        return
    for script in task.scripts:
        yield f"input/scripts/{script.name}", script.blob
    for data in task.data:
        yield f"input/collection_data_{data.index}.{data.format}", data.blob
    for path, blob in task.additional.items():
        yield f"input/additional_output/{path}", blob
    if task.holdout is not None:
        yield f"input/holdout_data.{task.holdout.format}", task.holdout.blob
    if task.requirements is not None:
        yield "input/requirements.txt", task.requirements
    if task.base_model is not None:
        yield "input/base_model.onnx", task.base_model


def _outputs(run: Run) -> Iterator[tuple[str, BlobRef]]:
    if run.exited is None:
        return
    if run.exited.log is not None:
        yield "output/log.txt", run.exited.log
    if run.exited.progress is not None:
        yield "output/progress.jsonl", run.exited.progress
    if run.exited.outputs is not None:
        yield f"output/{MODEL_FILE}", run.exited.outputs.model
        for path, blob in run.exited.outputs.additional.items():
            yield f"output/additional_output/{path}", blob
