"""Freezes a run's data and writes down the task that its edge will do."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session

from controller.data.selection import select
from controller.runs.steps import Event, Refused, Run, Selected
from controller.stores.collections import CollectionStore
from controller.stores.database import Database
from controller.stores.models import last_of_job, resolve
from controller.stores.runs import live_runs, load_run, watermarks
from schemas.errors import BadInput
from schemas.jobs import JobSpec
from schemas.models import MODEL_FILE, DataSelection
from schemas.names import BlobRef, FileRef, FileTree
from schemas.tasks import TaskData, TaskScript, TaskSpec
from transport.blob_store import BlobDirectory


@dataclass(frozen=True, slots=True)
class _Before:
    """What a new run builds upon, read in one transaction."""

    blocked_by: str  # an earlier run of the job that still goes on, or empty
    after: dict[int, dict[str, int]]  # watermarks
    base_version: int | None  # the job's own last version
    additional: FileTree  # what that version left
    base_model: BlobRef | None
    base_ref: str | None  # the same as name:version


class TaskWriter:
    """From a job to the rows and the TaskSpec of one run."""

    def __init__(
        self,
        database: Database,
        collections: CollectionStore,
        blobs: BlobDirectory,
        *,
        max_bytes: int,
        timeout_s: float,
    ) -> None:
        self._database, self._collections, self._blobs = database, collections, blobs
        self._max_bytes, self._timeout_s = max_bytes, timeout_s  # of one query

    async def write(self, run: Run) -> Event:
        """Select the rows and write the task: what came of it, for the run machine.

        Raises:
            BadInput: a query failed; the message says which and why.
        """
        before = await self._database.read(lambda session: _read(session, run))
        if before.blocked_by:
            return Refused(f"run {before.blocked_by} of {run.job.name} is still under way")
        data = await asyncio.to_thread(self._select, run.job, before.after)
        refusal = too_little(run.job, data)
        if refusal:
            return Refused(refusal)
        task = await asyncio.to_thread(self._blobs.put_bytes, _task(run, data, before).model_dump_json().encode())
        return Selected(tuple(data), task, before.base_version, before.base_ref)

    def _select(self, job: JobSpec, after: dict[int, dict[str, int]]) -> list[DataSelection]:
        queries = [(query, after.get(index, {})) for index, query in enumerate(job.queries, start=1)]
        if not queries:
            return []
        return select(self._collections, queries, self._blobs, max_bytes=self._max_bytes, timeout_s=self._timeout_s)


def too_little(job: JobSpec, data: Sequence[DataSelection]) -> str:
    """Why these rows are too few to train on; empty if they are not.

    With new-data-only queries their rows count, not those of the tables that they are joined with or given beside.
    """
    if not job.queries:
        return ""
    new = [selection for selection in data if selection.new_in]
    rows = sum(selection.rows for selection in new or data)
    if rows == 0 and new:
        names = ", ".join(sorted({name for selection in new for name in selection.new_in}))
        return f"there were no new entries in collection {names} since the last training"
    if rows == 0:
        return "the job's queries gave no rows"
    if rows < job.min_rows:
        return f"there were {rows} {'new ' if new else ''}rows, and the job asks for at least {job.min_rows}"
    return ""


def _read(session: Session, run: Run) -> _Before:
    job = load_run(session, run_id=run.id).job.name  # it may have been renamed since the run was looked at
    earlier = next((other for other in live_runs(session, job=job) if other.id != run.id), None)
    own = last_of_job(session, job=job)
    base = resolve(session, ref=run.job.base_model or run.job.model)
    return _Before(
        blocked_by=str(earlier.id) if earlier else "",
        after=watermarks(session, job=job),
        base_version=own.version if own else None,
        additional=own.additional if own else {ref.place: uploaded(ref) for ref in run.job.inputs},
        base_model=base[0].files[MODEL_FILE] if base else None,
        base_ref=f"{base[0].name}:{base[0].version}" if base else None,
    )


def _task(run: Run, data: list[DataSelection], before: _Before) -> TaskSpec:
    job = run.job
    return TaskSpec(
        run_id=run.id,
        job=job.name,
        scripts=tuple(TaskScript(name=ref.name, blob=uploaded(ref)) for ref in job.scripts),
        requirements=uploaded(job.requirements) if isinstance(job.requirements, FileRef) else None,
        data=tuple(
            TaskData(index=index, blob=selection.blob, rows=selection.rows)
            for index, selection in enumerate(data, start=1)
        ),
        additional=before.additional,
        base_model=before.base_model,
        metrics=tuple(metric.name for metric in job.metrics if metric.required),
        optional_metrics=tuple(metric.name for metric in job.metrics if not metric.required),
        edge_folder=job.edge_folder,
        params=job.params,
        variables=job.variables,
        secrets=job.secrets,
        image=job.image,
        limits=job.limits,
        stop_after_s=job.silence.stop_after,
    )


def uploaded(ref: FileRef) -> BlobRef:
    """The bytes of a file that a document names. Raises BadInput when they were never uploaded."""
    if ref.blob is None:
        raise BadInput(f"{ref.path} was named but not uploaded; `tidemill apply` uploads the files it names")
    return ref.blob
