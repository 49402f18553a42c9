"""Models that leave for another controller, and those that come from one."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError
from sqlmodel import Session

from controller.checking.model_checks import Checked
from controller.models.decisions import CHAMPION, judged
from controller.models.places import Overtaken, Place, place_in, until_placed
from controller.models.uploads import Uploads
from controller.signing_keys import SigningKeys
from controller.stores.database import Database
from controller.stores.model_changes import annotate, tags_of
from controller.stores.models import (
    add_version,
    aliases,
    ensure_model,
    get_model,
    get_version_row,
    move_alias,
    resolve,
    version_rows,
    versions,
)
from controller.stores.tables import VersionRow
from schemas.archives import ArchivedVersion, ModelArchive, SignedArchive
from schemas.errors import BadInput, Untrusted
from schemas.gates import GateResult
from schemas.models import ModelVersion
from schemas.names import PublicKey
from transport.blob_store import BlobDirectory
from transport.signing import check_text, key_id


class Archives:
    """Where models leave and arrive; their bytes go as blobs, before or after."""

    def __init__(
        self,
        database: Database,
        blobs: BlobDirectory,
        keys: SigningKeys,
        uploads: Uploads,
        trusted: Collection[PublicKey],
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._database, self._blobs, self._keys, self._uploads = database, blobs, keys, uploads
        self._trusted, self._clock = trusted, clock

    async def write(self, model: str, version: int | None) -> SignedArchive:
        """All versions of a model, or one. Raises NotFound."""

        def read(session: Session) -> ModelArchive:
            row = get_model(session, name=model)
            only = [get_version_row(session, model=model, version=version)] if version else None
            rows = only or list(reversed(version_rows(session, model=model)))
            there = {one.version for one in rows}
            return ModelArchive(
                name=model,
                description=row.description,
                versions=tuple(_archived(one) for one in rows),
                aliases={one.alias: one.version for one in aliases(session, model=model) if one.version in there},
                at=self._clock(),
            )

        payload = (await self._database.read(read)).model_dump_json()
        key = self._keys.newest
        return SignedArchive(payload=payload, public_key=key.public_key, signature=key.sign_text(payload))

    async def read(self, signed: SignedArchive, name: str | None, trust: PublicKey | None) -> list[ModelVersion]:
        """Make versions of an archive whose blobs are held; those that are there already are left out.

        Numbers stay where they are free. Every model is checked as an upload is, and judged if there is a gate for it.

        Raises:
            Untrusted: it was altered, or nobody said that its signer is to be trusted.
            BadInput: it is no archive, or a model in it cannot be served, or a file is not held; nothing has changed.
        """
        archive = self._trusted_archive(signed, trust)
        checked = [(one, await self._uploads.check(one.card.files)) for one in archive.versions]
        for one in archive.versions:
            for ref in one.blobs:
                self._uploads.held(ref.digest, ref)
        model, signer = name or archive.name, key_id(signed.public_key)

        async def attempt() -> list[ModelVersion]:
            place, missing = await self._database.read(lambda session: _missing(session, model, checked))
            arrivals = await self._arrivals(place, missing, signer)
            return await self._database.write(lambda session: self._add(session, archive, place, arrivals, signer))

        return await until_placed(attempt, model)

    def _trusted_archive(self, signed: SignedArchive, trust: PublicKey | None) -> ModelArchive:
        check_text(signed.payload, signed.signature, signed.public_key)
        own = {key_id(key) for key in (*self._keys.public_keys, *self._trusted, *([trust] if trust else []))}
        signer = key_id(signed.public_key)
        if signer in self._keys.retired:
            raise Untrusted(f"the archive is signed with {signer}, a key that was retired here")
        if signer not in own:
            raise Untrusted(
                f"the archive is signed by a controller that nobody trusts here: {signed.public_key}. If that is its "
                "key (`tidemill key list` there), say so with --trust, or put it under trusted_keys in controller.toml"
            )
        try:
            return ModelArchive.model_validate_json(signed.payload)
        except ValidationError as error:
            raise BadInput(f"its signer wrote what is no archive of models: {error.errors()[0]['msg']}") from error

    async def _arrivals(self, place: Place, missing: "list[_Found]", signer: str) -> "list[_Arrival]":
        """The cards that versions get here, each judged as if those before it were registered."""
        found: list[_Arrival] = []
        for one, checked in missing:
            card = self._new_card(place, one, checked, signer)
            verdict = await self._uploads.judge(place, card, by=f"import from {signer}")
            found.append(_Arrival(one, card, verdict))
            place = place.behind(card, promoted=verdict is not None and verdict.decision == "promote")
        return found

    def _add(
        self, session: Session, archive: ModelArchive, place: Place, arrivals: "list[_Arrival]", signer: str
    ) -> list[ModelVersion]:
        model, now, by = place.model, self._clock(), f"import from {signer}"
        row = ensure_model(session, name=model, now=now)
        if place_in(session, model=model) != place:
            raise Overtaken(f"another version of {model} was registered meanwhile")
        row.description = row.description or archive.description
        for one in arrivals:
            add_version(session, card=one.card, card_blob=self._blobs.put_bytes(one.card.model_dump_json().encode()))
            annotate(session, model=model, version=one.card.version, note=one.was.note or None, tags=dict(one.was.tags))
            if one.verdict is not None and place.gate is not None:
                judged(session, one.card, one.verdict, place.gate, by=one.verdict.by)
        made = {one.was.card.version: one.card for one in arrivals}
        gates = {CHAMPION} if place.gate is not None else set()  # which the model's gate alone moves
        for alias, number in archive.aliases.items():
            if number in made and alias not in gates and resolve(session, ref=f"{model}@{alias}") is None:
                to = made[number].version
                move_alias(session, model=model, alias=alias, version=to, reason="as it was there", now=now, by=by)
        return list(made.values())

    def _new_card(self, place: Place, one: ArchivedVersion, checked: Checked, signer: str) -> ModelVersion:
        card = one.card
        run = f", run {card.lineage.run_id}" if card.lineage.run_id else ""
        origin = f"{card.name}:{card.version} of the controller with key {signer}{run}"
        origin += f"; before that {card.lineage.imported}" if card.lineage.imported else ""
        lineage = card.lineage.model_copy(update={"run_id": None, "imported": origin})
        sample = self._blobs.put_bytes(checked.sample) if checked.sample is not None else None
        changes = {"name": place.model, "version": max(card.version, place.version), "lineage": lineage}
        return card.model_copy(update={**changes, "sample": sample, "signature": checked.signature})


_Found = tuple[ArchivedVersion, Checked]


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A version of an archive, as it was there and as it will be here."""

    was: ArchivedVersion
    card: ModelVersion
    verdict: GateResult | None


def _missing(session: Session, model: str, found: list[_Found]) -> tuple[Place, list[_Found]]:
    """Where the next version goes, and those that are not there yet."""
    there = [(card.files, card.metrics) for card in versions(session, model=model)]
    return place_in(session, model=model), [
        (one, checked) for one, checked in found if (one.card.files, one.card.metrics) not in there
    ]


def _archived(row: VersionRow) -> ArchivedVersion:
    return ArchivedVersion(card=ModelVersion.model_validate_json(row.card), note=row.note, tags=tags_of(row))
