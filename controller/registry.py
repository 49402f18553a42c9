"""Makes versions of what runs left: checked, judged, with their lineage, in one transaction with run and watermarks."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from controller.cards import card_of
from controller.gates.gatekeeper import Gatekeeper
from controller.model_checks import Checked, ModelChecks
from controller.runs.steps import Registered, Run
from controller.runs.supervisor import Supervisor
from controller.stores.database import Database
from controller.stores.gates import add_result
from controller.stores.models import (
    add_version,
    ensure_model,
    move_alias,
    next_own_model,
    next_version,
    resolve,
)
from controller.stores.runs import move_watermarks
from schemas.errors import BadInput, Conflict
from schemas.gates import GateResult
from schemas.jobs import JobSpec
from schemas.models import ModelVersion
from schemas.names import BlobRef
from schemas.tasks import TaskSpec
from transport.blob_store import BlobDirectory

CHAMPION, CANDIDATE = "champion", "candidate"
_TRIES = 100  # each time another job's version was first, so somebody gets on


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
        for _ in range(_TRIES):
            place = await self._database.read(lambda session: _place(session, run.job))
            try:
                await self._register(made.model_copy(update=place.numbers), place, run, supervisor)
            except _Overtaken:
                continue
            return
        raise Conflict(f"{_TRIES} times another version of {run.job.model} was registered meanwhile")

    async def _register(self, card: ModelVersion, place: "_Place", run: Run, supervisor: Supervisor) -> None:
        verdict = await self._gatekeeper.judge(run.job, card, place.champion)
        card_blob = await asyncio.to_thread(self._blobs.put_bytes, card.model_dump_json().encode())

        def commit(session: Session, after: Run) -> None:
            if _place(session, run.job) != place:
                raise _Overtaken(f"another version of {card.name} was registered meanwhile")
            now = self._clock()
            ensure_model(session, name=card.name, now=now)
            add_version(session, card=card, card_blob=card_blob, job=after.job.name)  # it may have been renamed
            if after.replays is None:  # which trained on rows that were trained on before
                move_watermarks(session, job=after.job.name, data=after.data)
            add_result(session, model=card.name, version=card.version, result=verdict)
            decided(
                session, card, verdict, deploys=run.job.gate.policy != "auto_promote", by=f"gate of {after.job.name}"
            )

        event = Registered(run.attempt, card.name, card.version, verdict.reason)
        await supervisor.step(run.id, event, also=commit)
        if _alias_for(card, verdict) is not None:
            await self._on_promoted(card.name)

    def _keep(self, checked: Checked) -> BlobRef | None:
        return self._blobs.put_bytes(checked.sample) if checked.sample is not None else None


class _Overtaken(Conflict):
    """Another version took the place between looking for one and taking it."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the next version goes, and what it has to be better than."""

    model: str
    version: int
    champion: ModelVersion | None

    @property
    def numbers(self) -> dict[str, object]:
        """What a card says of its place."""
        return {"name": self.model, "version": self.version}


def _place(session: Session, job: JobSpec) -> _Place:
    if not job.update_existing:
        return _Place(next_own_model(session, model=job.model), 1, None)
    found = resolve(session, ref=job.model)
    return _Place(job.model, next_version(session, model=job.model), found[0] if found else None)


def _alias_for(card: ModelVersion, verdict: GateResult) -> str | None:
    """The champion is used; the candidate waits for a person. What only shows what was before is neither."""
    if card.lineage.reproduces is not None:
        return None
    return {"promote": CHAMPION, "hold": CANDIDATE}.get(verdict.decision)


def decided(session: Session, card: ModelVersion, verdict: GateResult, *, by: str, deploys: bool = True) -> None:
    """Have the alias stand for a version that what was decided gives it. Caller commits."""
    if (alias := _alias_for(card, verdict)) is not None:
        move_alias(
            session,
            model=card.name,
            alias=alias,
            version=card.version,
            reason=verdict.reason,
            now=verdict.at,
            by=by,
            deploys=deploys,
        )
