"""Makes versions of what runs left: checked, judged, with their lineage, in one transaction with run and watermarks."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

from sqlmodel import Session

from controller.checking.model_checks import Checked, ModelChecks
from controller.gates.checks import Case
from controller.gates.frozen_rows import own_rows
from controller.gates.gatekeeper import Gatekeeper
from controller.models.cards import card_of
from controller.models.decisions import alias_for, judged
from controller.models.places import Overtaken, Place, place_in, place_of_its_own, until_placed
from controller.runs.steps import Registered, Run
from controller.runs.supervisor import Supervisor
from controller.stores.database import Database
from controller.stores.models import add_version, ensure_model
from controller.stores.runs import move_watermarks
from schemas.errors import BadInput
from schemas.gates import Gate
from schemas.jobs import JobSpec
from schemas.models import ModelVersion
from schemas.names import BlobRef
from schemas.tasks import TaskSpec
from transport.blob_store import BlobDirectory


class Registry:
    """Where model versions are made; ``on_promoted`` is told of each model of which an alias may have moved."""

    def __init__(
        self,
        database: Database,
        blobs: BlobDirectory,
        checks: ModelChecks,
        gatekeeper: Gatekeeper,
        on_promoted: Callable[[str], Awaitable[None]],
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._database, self._blobs, self._checks, self._gatekeeper = database, blobs, checks, gatekeeper
        self._on_promoted, self._clock = on_promoted, clock

    async def register_run(self, run: Run, supervisor: Supervisor) -> None:
        """Make a version of what a run left, and end the run well, both in one transaction.

        Raises:
            BadInput: the file is no model that can be served; the message says why.
            NotFound: a file of the run is not held here.
            Conflict: other versions are registered faster; try again.
        """
        if run.exited is None or run.exited.outputs is None or run.task is None:
            raise BadInput("the run left no outputs")
        outputs = run.exited.outputs
        for ref in outputs.additional.values():
            self._blobs.path(ref.digest)  # a version has all its files, or is none
        checked = await self._checks.check(self._blobs.path(outputs.model.digest))
        text = await asyncio.to_thread(self._blobs.read_bytes, run.task.digest, run.task.size_bytes)
        made = card_of(run, TaskSpec.model_validate_json(text), outputs, checked.signature, self._clock())
        made = made.model_copy(update={"sample": await asyncio.to_thread(self._keep, checked)})
        if made.curves is not None and not self._blobs.has(made.curves.digest):  # it was lost on its way: a pity
            made = made.model_copy(update={"curves": None})

        async def attempt() -> None:
            place = await self._database.read(lambda session: _place(session, run.job))
            await self._register(made.model_copy(update=place.numbers), place, run, supervisor)

        await until_placed(attempt, run.job.model)

    async def _register(self, card: ModelVersion, place: Place, run: Run, supervisor: Supervisor) -> None:
        gate = run.job.gate or place.gate or Gate()
        better = gate.better or run.job.better.get(gate.metric or "", "higher")
        case = Case(gate, card, place.champion, updates=run.job.update_existing, better=better)
        verdict = await self._gatekeeper.judge(case, own_rows(card, run.job))
        card_blob = await asyncio.to_thread(self._blobs.put_bytes, card.model_dump_json().encode())

        def commit(session: Session, after: Run) -> None:
            if _place(session, run.job) != place:
                raise Overtaken(f"another version of {card.name} was registered meanwhile")
            ensure_model(session, name=card.name, now=self._clock())
            add_version(session, card=card, card_blob=card_blob, job=after.job.name)  # it may have been renamed
            if after.replays is None:  # which trained on rows that were trained on before
                move_watermarks(session, job=after.job.name, data=after.data)
            whose = f"model {card.name}, for job {after.job.name}" if gate is place.gate else after.job.name
            told = verdict.model_copy(update={"by": f"gate of {whose}"}) if gate is place.gate else verdict
            judged(session, card, told, gate, by=f"gate of {whose}")

        event = Registered(run.attempt, card.name, card.version, verdict.reason)
        await supervisor.step(run.id, event, also=commit)
        if alias_for(card, verdict) is not None:
            await self._on_promoted(card.name)

    def _keep(self, checked: Checked) -> BlobRef | None:
        return self._blobs.put_bytes(checked.sample) if checked.sample is not None else None


def _place(session: Session, job: JobSpec) -> Place:
    if not job.update_existing:
        return place_of_its_own(session, model=job.model)
    return place_in(session, model=job.model)
