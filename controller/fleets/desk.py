"""Applies fleet documents: what is the same stays, what differs is made or changed, and nothing if one is wrong."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import TypeVar

from sqlmodel import Session

from controller.checking.model_checks import Checked
from controller.data.query_check import QueryCheck
from controller.fleets.changes import FleetChanges
from controller.fleets.check import BadFleet, FleetCheck, Known
from controller.models.places import Place, place_under, until_placed
from controller.models.uploads import Draft, Uploads
from controller.stores.collections import CollectionStore
from controller.stores.database import Database
from controller.stores.edges import list_edges
from controller.stores.gates import gates_of_models
from controller.stores.jobs import list_jobs
from controller.stores.models import list_models, versions_of_file
from controller.stores.secrets import list_secrets
from controller.stores.serving import list_libraries, list_pipelines
from schemas.collections import CollectionSpec
from schemas.errors import BadInput
from schemas.fleet import AppliedChange, CollectionDocument, Fleet, ModelDocument
from schemas.models import MODEL_FILE, NewVersion
from schemas.names import BlobDigest
from schemas.views import Applied, FieldError

Removed = TypeVar("Removed")


class FleetDesk:
    """Where fleets are applied; ``on_change`` tells the daemon's loops to look again."""

    def __init__(
        self,
        database: Database,
        collections: CollectionStore,
        queries: QueryCheck,
        uploads: Uploads,
        on_change: Callable[[], Awaitable[None]],
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._database, self._collections, self._queries = database, collections, queries
        self._uploads, self._on_change, self._clock = uploads, on_change, clock
        self._one_at_a_time = asyncio.Lock()

    async def apply(
        self,
        fleet: Fleet,
        *,
        dry_run: bool = False,
        by: str = "",
        premise: Callable[[Session], None] = lambda _: None,
    ) -> Applied:
        """Apply the documents, or only say what applying them would do.

        Args:
            fleet: the documents.
            dry_run: change nothing.
            by: what applies them; kept with the versions of pipelines that come of it.
            premise: raises, in the transaction of the change, when that is not meant for what there is now.

        Raises:
            BadFleet: something is wrong, and nothing was changed.
            Conflict: a collection's columns do not fit what it holds, and nothing was changed.
        """
        async with self._one_at_a_time:
            await asyncio.to_thread(self._check, fleet)
            checked = await self._check_models(fleet)
            declared = await asyncio.to_thread(self._declare, fleet, dry_run=dry_run)

            async def attempt() -> tuple[AppliedChange, ...]:
                drafts = await self._drafts(fleet, checked, by=by or "upload")
                return await asyncio.to_thread(self._change, fleet, drafts, declared, premise, by=by, dry_run=dry_run)

            changes = await until_placed(attempt, "a model")
        if not dry_run:
            await self._on_change()
        return Applied(changes=changes, dry_run=dry_run)

    async def remove(self, change: Callable[[Session], Removed]) -> Removed:
        """Carry out a removal in one transaction, while nothing is applied; returns what it returns."""
        async with self._one_at_a_time:
            removed = await self._database.write(change)
        await self._on_change()
        return removed

    def _check(self, fleet: Fleet) -> None:
        with self._database.transaction() as session:
            known = Known(
                edges=frozenset(row.name for row in list_edges(session)),
                collections=self._collections.specs(),
                models=frozenset(row.name for row in list_models(session)),
                libraries=frozenset(row.name for row in list_libraries(session)),
                pipelines=frozenset(row.name for row in list_pipelines(session)),
                secrets=frozenset(row.name for row in list_secrets(session)),
                jobs=tuple(spec for _, spec in list_jobs(session)),
                gates=gates_of_models(session),
            )
        FleetCheck(fleet, known, self._uploads.blobs, self._queries).run()

    async def _check_models(self, fleet: Fleet) -> dict[str, Checked]:
        """What is known of every model file. Raises BadFleet when one cannot be served."""
        checked: dict[str, Checked] = {}
        errors: list[FieldError] = []
        for index, document in enumerate(fleet.documents):
            if isinstance(document, ModelDocument) and document.file is not None and document.file.blob is not None:
                try:
                    checked[document.name] = await self._uploads.check({MODEL_FILE: document.file.blob})
                except BadInput as error:
                    message = f"{document.name}: {document.file.path}: {error}"
                    errors.append(FieldError(where=f"documents[{index}].file", message=message))
        if errors:
            raise BadFleet(tuple(errors))
        return checked

    async def _drafts(self, fleet: Fleet, checked: dict[str, Checked], *, by: str) -> dict[str, Draft]:
        """The model files that are no versions yet, each judged by the gate that its own document gives the model."""
        drafts: dict[str, Draft] = {}
        for document in fleet.documents:
            if not isinstance(document, ModelDocument) or document.name not in checked:
                continue
            new = NewVersion.model_validate({"files": {MODEL_FILE: document.file and document.file.blob}})
            place = await self._database.read(
                partial(_place_for, document=document, digest=new.files[MODEL_FILE].digest)
            )
            if place is not None:
                drafts[document.name] = await self._uploads.draft(place, new, checked[document.name], by=by)
        return drafts

    def _declare(self, fleet: Fleet, *, dry_run: bool) -> dict[str, AppliedChange]:
        """Collections first, in their own database: were the rest to fail, applying again finds them as they are."""
        specs = [
            CollectionSpec.model_validate(document.model_dump(exclude={"kind"}))
            for document in fleet.documents
            if isinstance(document, CollectionDocument)
        ]
        return {change.name: change for change in self._collections.declare_all(specs, dry_run=dry_run)}

    def _change(
        self,
        fleet: Fleet,
        drafts: dict[str, Draft],
        declared: dict[str, AppliedChange],
        premise: Callable[[Session], None],
        *,
        by: str,
        dry_run: bool,
    ) -> tuple[AppliedChange, ...]:
        with self._database.transaction() as session:
            premise(session)
            changes = FleetChanges(session, self._uploads, drafts, declared, by, self._clock())
            # Models first: a job brings the model that it names, which then would no longer be new.
            order = sorted(
                range(len(fleet.documents)), key=lambda at: not isinstance(fleet.documents[at], ModelDocument)
            )
            made = {at: changes.make(fleet.documents[at]) for at in order}
            if dry_run:
                session.rollback()
        return tuple(made[at] for at in sorted(made))


def _place_for(session: Session, *, document: ModelDocument, digest: BlobDigest) -> Place | None:
    """Where a document's file goes; None if some version has that very file."""
    if versions_of_file(session, model=document.name, digest=digest):
        return None
    return place_under(session, model=document.name, gate=document.gate)
