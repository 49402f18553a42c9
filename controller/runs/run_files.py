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
    for place, blob in task.files() if task is not None else ():
        yield f"input/{place.partition('/')[2]}", blob  # the outputs that it was given are inputs to this tree


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
