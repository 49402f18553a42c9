"""Takes an earlier run's task once more: the same bytes for the scripts, under another run's id. Blocks on the disk."""

from uuid import UUID

import orjson

from controller.runs.steps import Run, Selected
from schemas.errors import BadInput, NotFound
from schemas.names import BlobRef
from schemas.tasks import TaskSpec
from transport.blob_store import BlobDirectory

_MAX_TASK_BYTES = 64 * 1024 * 1024


def replayed(original: Run, run_id: UUID, blobs: BlobDirectory) -> Selected:
    """The frozen data and the task of ``original``, for another run.

    Only the run's id differs in the task; whatever else its document holds, this version's words or not, is kept.

    Raises:
        BadInput: it never had a task, or something of it is no longer kept; the message says what.
    """
    if original.task is None:
        raise BadInput(f"run {original.id} cannot be done again: no data was ever selected for it")
    try:
        written = blobs.read_bytes(original.task.digest, limit=_MAX_TASK_BYTES)
    except NotFound as error:
        raise _gone(original, ["its task"]) from error
    task = TaskSpec.model_validate_json(written)
    gone = [place.partition("/")[2] for place, ref in task.files() if not _kept(blobs, ref)]
    if gone:
        raise _gone(original, gone)
    again = blobs.put_bytes(orjson.dumps(orjson.loads(written) | {"run_id": str(run_id)}))
    return Selected(original.data, again, original.base_version, original.base_model, original.holdout)


def _kept(blobs: BlobDirectory, ref: BlobRef) -> bool:
    try:
        blobs.keep_on(ref.digest)  # the earlier run may be forgotten before this one is known to need it
    except NotFound:
        return False
    return True


def _gone(original: Run, what: list[str]) -> BadInput:
    shown = ", ".join(what[:5]) + (f" and {len(what) - 5} more" if len(what) > 5 else "")
    return BadInput(
        f"run {original.id} cannot be done again: {shown} {'are' if len(what) > 1 else 'is'} no longer kept; "
        f"keep.runs and keep.versions of job {original.job.name} say what is"
    )
