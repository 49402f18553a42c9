"""Freezes a run's data and writes down the task that its edge will do."""

import asyncio
from dataclasses import dataclass
from uuid import UUID, uuid4

from sqlmodel import Session

from controller.data.selection import Asked, Frozen, Selector
from controller.runs.replay import replayed
from controller.runs.steps import Event, Refused, Run, Selected
from controller.runs.too_little import too_little
from controller.stores.database import Database
from controller.stores.models import last_of_job, resolve
from controller.stores.runs import load_run, watermarks
from schemas.errors import BadInput, NotFound
from schemas.jobs import JobSpec
from schemas.models import MODEL_FILE
from schemas.names import BlobRef, FileRef, FileTree
from schemas.tasks import TaskData, TaskHoldout, TaskScript, TaskSpec
from transport.blob_store import BlobDirectory


@dataclass(frozen=True, slots=True)
class _Before:
    """What a new run builds upon, read in one transaction."""

    after: dict[int, dict[str, int]]  # watermarks
    base_version: int | None  # the job's own last version
    additional: FileTree  # what that version left
    base_model: BlobRef | None
    base_ref: str | None  # the same as name:version


class TaskWriter:
    """From a job to the rows and the TaskSpec of one run. Every attempt of the run does that same task."""

    def __init__(self, database: Database, selector: Selector, blobs: BlobDirectory) -> None:
        self._database, self._selector, self._blobs = database, selector, blobs

    async def write(self, run: Run) -> Event:
        """Select the rows and write the task: what came of it, for the run machine.

        Raises:
            BadInput: a query failed, or what a replay needs is no longer kept; the message says which and why.
        """
        if run.replays is not None:
            return await self._replay(run, run.replays)
        before = await self._database.read(lambda session: _read_for(session, run))
        frozen, refusal = await self._select(run.job, before, full=run.full)
        if refusal:
            return Refused(refusal)
        task = await asyncio.to_thread(self._keep, run, frozen, before)
        return Selected(frozen.data, task, before.base_version, before.base_ref, frozen.holdout)

    async def rehearse(self, job: JobSpec, *, full: bool) -> TaskSpec:
        """The task that a run of the job would be given now; nothing is queued, and no mark moves.

        Raises:
            BadInput: a query failed, or there are too few rows; the message says which and why.
        """
        before = await self._database.read(lambda session: _read(session, job, job.name))
        frozen, refusal = await self._select(job, before, full=full)
        if refusal:
            raise BadInput(f"{refusal}; with --full the job is tried on all rows")
        return await asyncio.to_thread(lambda: _task(uuid4(), job, frozen, before, _requirements(job, self._blobs)))

    async def _select(self, job: JobSpec, before: _Before, *, full: bool) -> tuple[Frozen, str]:
        """The rows, and why they are too few to train on if they are."""
        asked = Asked(job.queries, before.after, full=full, max_rows=job.max_rows, holdout=job.holdout)
        frozen = await asyncio.to_thread(self._selector.select, asked)
        return frozen, too_little(job, frozen.data, full=full, waiting=frozen.waiting)

    async def _replay(self, run: Run, original: UUID) -> Event:
        try:
            earlier = await self._database.read(lambda session: load_run(session, run_id=original))
        except NotFound as error:
            raise BadInput(f"run {original} cannot be done again: it is no longer kept") from error
        return await asyncio.to_thread(replayed, earlier, run.id, self._blobs)

    def _keep(self, run: Run, frozen: Frozen, before: _Before) -> BlobRef:
        for ref in (*before.additional.values(), *([before.base_model] if before.base_model else [])):
            self._blobs.keep_on(ref.digest)  # its version may be forgotten before this run is known to need it
        requirements = _requirements(run.job, self._blobs)
        return self._blobs.put_bytes(_task(run.id, run.job, frozen, before, requirements).model_dump_json().encode())


def _requirements(job: JobSpec, blobs: BlobDirectory) -> BlobRef | None:
    if isinstance(job.requirements, tuple):
        return blobs.put_bytes("".join(f"{line}\n" for line in job.requirements).encode())
    return uploaded(job.requirements) if job.requirements is not None else None


def _read_for(session: Session, run: Run) -> _Before:
    return _read(session, run.job, load_run(session, run_id=run.id).job.name)  # which may have been changed meanwhile


def _read(session: Session, job: JobSpec, name: str) -> _Before:
    own = last_of_job(session, job=name)
    base = resolve(session, ref=job.base_model or job.model)
    return _Before(
        after=watermarks(session, job=name),
        base_version=own.version if own else None,
        additional=own.additional if own else {ref.place: uploaded(ref) for ref in job.inputs},
        base_model=base[0].files[MODEL_FILE] if base else None,
        base_ref=f"{base[0].name}:{base[0].version}" if base else None,
    )


def _task(run_id: UUID, job: JobSpec, frozen: Frozen, before: _Before, requirements: BlobRef | None) -> TaskSpec:
    held = frozen.holdout
    return TaskSpec(
        run_id=run_id,
        job=job.name,
        scripts=tuple(TaskScript(name=ref.name, blob=uploaded(ref)) for ref in job.scripts),
        requirements=requirements,
        data=tuple(
            TaskData(index=index, blob=selection.blob, rows=selection.rows, format=selection.format)
            for index, selection in enumerate(frozen.data, start=1)
        ),
        holdout=held and TaskHoldout(blob=held.blob, rows=held.rows, format=held.format),
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
