"""Checks models and makes them versions: with their lineage, in one transaction with the run and the watermarks."""

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlmodel import Session

from controller.runs.gate import judge
from controller.runs.steps import Registered, Run
from controller.runs.supervisor import Supervisor
from controller.runs.task_writing import uploaded
from controller.stores.database import Database
from controller.stores.models import add_version, ensure_model, move_alias, next_version, resolve, versions
from controller.stores.runs import move_watermarks
from schemas.errors import BadInput, Conflict
from schemas.jobs import JobSpec
from schemas.models import MODEL_FILE, Lineage, ModelVersion, Signature
from schemas.names import BlobRef, FileRef
from schemas.runs import Outputs, Started
from transport.blob_store import BlobDirectory

CHAMPION = "champion"
CHECK_S = 300.0  # a model that needs longer to load will not serve anyone


class Registry:
    """Where model versions are made."""

    def __init__(self, database: Database, blobs: BlobDirectory, *, clock: Callable[[], datetime]) -> None:
        self._database, self.blobs, self._clock = database, blobs, clock

    async def register_run(self, run: Run, supervisor: Supervisor) -> None:
        """Make a version of what a run left, and end the run well, both in one transaction.

        Raises:
            BadInput: the file is no model that can be served; the message says why.
        """
        if run.exited is None or run.exited.outputs is None:
            raise BadInput("the run left no outputs")
        outputs = run.exited.outputs
        signature = await check_model(self.blobs.path(outputs.model.digest))
        facts = await self._database.read(lambda session: _read(session, run.job))
        verdict = judge(run.job, facts.version, outputs.metrics, facts.champion)
        card = self._card(run, outputs, signature, facts.version)
        card_blob = await asyncio.to_thread(self.blobs.put_bytes, card.model_dump_json().encode())

        def commit(session: Session, after: Run) -> None:
            now = self._clock()
            ensure_model(session, name=card.name, now=now)
            if next_version(session, model=card.name) != card.version:
                raise Conflict(f"another version of {card.name} was registered meanwhile")
            add_version(session, card=card, card_blob=card_blob)
            move_watermarks(session, job=run.job.name, data=after.data)
            if verdict.promoted:
                _promote(session, card, verdict.reason, now)

        await supervisor.step(run.id, Registered(run.attempt, card.name, card.version, verdict.reason), also=commit)

    async def check_file(self, file: BlobRef) -> Signature:
        """Check an uploaded model. Raises BadInput when it cannot be served."""
        return await check_model(self.blobs.path(file.digest))

    def add_file(self, session: Session, *, name: str, file: BlobRef, signature: Signature) -> int | None:
        """Make a version of a checked file; None if some version has that very file. Caller commits."""
        if any(card.files[MODEL_FILE].digest == file.digest for card in versions(session, model=name)):
            return None
        now = self._clock()
        version = next_version(session, model=name)
        files = {MODEL_FILE: file}
        card = ModelVersion(name=name, version=version, files=files, signature=signature, created_at=now)
        add_version(session, card=card, card_blob=self.blobs.put_bytes(card.model_dump_json().encode()))
        if resolve(session, ref=name) is None:
            _promote(session, card, "uploaded, the first of its kind", now)
        return version

    def _card(self, run: Run, outputs: Outputs, signature: Signature, version: int) -> ModelVersion:
        started = run.started or Started(executor="")
        lineage = Lineage(
            run_id=run.id,
            attempt=run.attempt,
            job=run.job.name,
            edge=run.edge,
            data=run.data,
            scripts={ref.name: uploaded(ref) for ref in run.job.scripts},
            requirements=uploaded(run.job.requirements) if isinstance(run.job.requirements, FileRef) else None,
            executor=started.executor,
            image=started.image,
            image_digest=started.image_digest,
            environment=started.environment,
            base_version=run.base_version,
        )
        return ModelVersion(
            name=run.job.model,
            version=version,
            files={MODEL_FILE: outputs.model},
            additional=outputs.additional,
            signature=signature,
            metrics=outputs.metrics,
            lineage=lineage,
            created_at=self._clock(),
        )


@dataclass(frozen=True, slots=True)
class _Facts:
    version: int  # the number that comes next
    champion: tuple[int, dict[str, float]] | None


def _read(session: Session, job: JobSpec) -> _Facts:
    found = resolve(session, ref=job.model)
    champion = (found[0].version, found[0].metrics) if found else None
    return _Facts(next_version(session, model=job.model), champion)


def _promote(session: Session, card: ModelVersion, reason: str, now: datetime) -> None:
    move_alias(session, model=card.name, alias=CHAMPION, version=card.version, reason=reason, now=now)


async def check_model(path: Path) -> Signature:
    """Check a model in a process of its own, and read what goes in and comes out.

    Raises:
        BadInput: it cannot be served; the message says why.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "controller.model_check", str(path), stdout=PIPE, stderr=PIPE, stdin=DEVNULL
    )
    try:
        async with asyncio.timeout(CHECK_S):
            answer, complaints = await process.communicate()
    except TimeoutError as error:
        raise BadInput(f"model.onnx did not load within {CHECK_S:.0f} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        tail = complaints.decode(errors="replace").strip().splitlines()[-1:]
        raise BadInput(f"model.onnx ended the process that checked it (code {process.returncode}): {' '.join(tail)}")
    found = json.loads(answer)
    if "error" in found:
        raise BadInput(found["error"])
    return Signature.model_validate(found["signature"])
