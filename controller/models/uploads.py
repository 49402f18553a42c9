"""Versions that people bring: their files checked together, and judged by their model's gate, as a run's model is."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlmodel import Session

from controller.checking.model_checks import Checked, ModelChecks
from controller.checking.model_folders import lay_out
from controller.gates.checks import Case
from controller.gates.gatekeeper import Gatekeeper
from controller.models.decisions import CHAMPION, judged
from controller.models.places import Overtaken, Place, place_in, until_placed
from controller.stores.database import Database
from controller.stores.gates import results
from controller.stores.model_changes import annotate
from controller.stores.models import add_version, ensure_model, move_alias, versions_of_file
from schemas.errors import BadInput, NotFound
from schemas.gates import GateResult
from schemas.models import MODEL_FILE, Lineage, ModelVersion, NewVersion
from schemas.names import BlobRef, FileTree
from transport.blob_store import BlobDirectory


@dataclass(frozen=True, slots=True)
class Draft:
    """A version that somebody brings, before it is registered."""

    place: Place
    new: NewVersion
    checked: Checked
    card: ModelVersion
    verdict: GateResult | None  # of the model's gate; None: it has none, or the version is there already
    by: str


@dataclass(frozen=True, slots=True)
class Brought:
    """What became of it."""

    card: ModelVersion
    told: str = ""  # what the gate says of it, and why an alias that was asked for did not move


class Uploads:
    """Where files become versions without a run."""

    def __init__(
        self,
        database: Database,
        blobs: BlobDirectory,
        checks: ModelChecks,
        gatekeeper: Gatekeeper,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self.blobs, self._database, self._checks, self._gatekeeper = blobs, database, checks, gatekeeper
        self._clock = clock

    async def bring(self, name: str, new: NewVersion, *, by: str) -> Brought:
        """Make a version of files that are held, or annotate the one that has these very files and metrics.

        Raises:
            BadInput: it cannot be served, or a file is not held, or is of another size; the message says why.
            Conflict: other versions are registered faster; try again.
        """
        checked = await self.check(new.files)

        async def attempt() -> Brought:
            place, known = await self._database.read(
                lambda session: (place_in(session, model=name), _known(session, name, new))
            )
            draft = await self.draft(place, new, checked, by=by, judge=known is None)
            return await self._database.write(lambda session: self.add(session, draft))

        return await until_placed(attempt, name)

    async def draft(self, place: Place, new: NewVersion, checked: Checked, *, by: str, judge: bool = True) -> Draft:
        """Have a version judged for its place; ``judge`` is false for one that is there already."""
        card = ModelVersion(
            name=place.model,
            version=place.version,
            files=new.files,
            metrics=new.metrics,
            signature=checked.signature,
            lineage=Lineage(imported=new.imported),
            created_at=self._clock(),
        )
        verdict = await self.judge(place, card, by=by) if judge else None
        return Draft(place, new, checked, card, verdict, by)

    async def judge(self, place: Place, card: ModelVersion, *, by: str) -> GateResult | None:
        """What the model's gate says of a version that somebody brings; None if it has none."""
        if place.gate is None:
            return None
        case = Case(place.gate, card, place.champion, better=place.gate.better or "higher")
        verdict = await self._gatekeeper.judge(case, place.frozen)
        return verdict.model_copy(update={"by": f"gate of model {place.model}, for {by}"})

    async def check(self, files: FileTree) -> Checked:
        """Check a model with the files that it came with.

        Raises:
            BadInput: it cannot be served, or a file is not held, or is of another size; the message says why.
        """
        paths = {name: self.held(name, ref) for name, ref in files.items()}
        if len(paths) == 1:
            return await self._checks.check(paths[MODEL_FILE])
        with self.blobs.scratch() as folder:
            await asyncio.to_thread(lay_out, folder, paths)
            return await self._checks.check(folder / MODEL_FILE)

    def add(self, session: Session, draft: Draft) -> Brought:
        """Register a version, or annotate the one that has these very files and metrics. Caller commits.

        Raises:
            Overtaken: it was judged for a place that is not that any more.
        """
        name, new = draft.place.model, draft.new
        ensure_model(session, name=name, now=self._clock())
        here, known = place_in(session, model=name), _known(session, name, new)
        if known is None and here.gate is not None and (here != draft.place or draft.verdict is None):
            raise Overtaken(f"another version of {name} was registered meanwhile")
        card = known or self._made(session, draft, here)
        annotate(session, model=name, version=card.version, note=new.note or None, tags=dict(new.tags))
        last, moves = None, {}
        if here.gate is not None:
            if known is None and draft.verdict is not None:
                judged(session, card, draft.verdict, here.gate, by=draft.verdict.by)
            last = next(iter(results(session, model=name, version=card.version)), None)
        elif here.champion is None:
            moves[CHAMPION] = "the first of its kind"
        stays = new.alias == CHAMPION and _is_kept_from(here, card, last)
        if new.alias is not None and not stays:
            moves[new.alias] = "uploaded as such"
        for alias, reason in moves.items():
            self._move(session, card, here, alias, reason, draft.by)
        return Brought(card, _told(card, last, stays=stays))

    def _made(self, session: Session, draft: Draft, here: Place) -> ModelVersion:
        sample = self.blobs.put_bytes(draft.checked.sample) if draft.checked.sample is not None else None
        card = draft.card.model_copy(update={**here.numbers, "sample": sample})
        add_version(session, card=card, card_blob=self.blobs.put_bytes(card.model_dump_json().encode()))
        return card

    def _move(self, session: Session, card: ModelVersion, here: Place, alias: str, reason: str, by: str) -> None:
        at_once = alias != CHAMPION or here.gate is None or here.gate.deploys
        move_alias(
            session,
            model=card.name,
            alias=alias,
            version=card.version,
            reason=reason,
            now=self._clock(),
            by=by,
            deploys=at_once,
        )

    def held(self, name: str, ref: BlobRef) -> Path:
        """A file's bytes, which stay from now on until a version names them. Raises BadInput if they are not here."""
        try:
            held = self.blobs.keep_on(ref.digest)
        except NotFound as error:
            raise BadInput(f"{name}: the controller holds no {ref.digest}; upload it first") from error
        if held.size_bytes != ref.size_bytes:
            raise BadInput(f"{name} has {held.size_bytes} bytes, not {ref.size_bytes}")
        return self.blobs.path(ref.digest)


def _known(session: Session, name: str, new: NewVersion) -> ModelVersion | None:
    there = versions_of_file(session, model=name, digest=new.files[MODEL_FILE].digest)
    return next((one for one in there if (one.files, one.metrics) == (new.files, new.metrics)), None)


def _is_kept_from(here: Place, card: ModelVersion, last: GateResult | None) -> bool:
    """Whether a version is not to be the champion, by what was decided of it last."""
    stands = here.champion is not None and here.champion.version == card.version
    return last is not None and last.decision != "promote" and not stands


def _told(card: ModelVersion, last: GateResult | None, *, stays: bool) -> str:
    told = last.reason if last is not None else ""
    approve = f"tidemill model approve {card.name}:{card.version} --reason …"
    return f"{told}; {CHAMPION} stays where it is, and `{approve}` overrides that" if stays else told
