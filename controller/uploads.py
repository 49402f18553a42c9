"""Versions that people bring: their files checked together, as a run's model is, and kept with what is said of them."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from sqlmodel import Session

from controller.model_checks import Checked, ModelChecks
from controller.model_folders import lay_out
from controller.registry import CHAMPION
from controller.stores.model_changes import annotate
from controller.stores.models import add_version, ensure_model, move_alias, next_version, resolve, versions_of_file
from schemas.errors import BadInput, NotFound
from schemas.models import MODEL_FILE, Lineage, ModelVersion, NewVersion
from schemas.names import BlobRef, FileTree
from transport.blob_store import BlobDirectory


class Uploads:
    """Where files become versions without a run."""

    def __init__(self, blobs: BlobDirectory, checks: ModelChecks, *, clock: Callable[[], datetime]) -> None:
        self.blobs, self._checks, self._clock = blobs, checks, clock

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

    def add(self, session: Session, *, name: str, new: NewVersion, checked: Checked, by: str) -> ModelVersion:
        """Make a version, or annotate the one that has these very files and metrics. Caller commits."""
        now = self._clock()
        ensure_model(session, name=name, now=now)
        first = resolve(session, ref=name) is None
        card = self._known(session, name, new) or self._made(session, name, new, checked, now)
        annotate(session, model=name, version=card.version, note=new.note or None, tags=dict(new.tags))
        moves = {CHAMPION: "the first of its kind"} if first else {}
        moves |= {new.alias: "uploaded as such"} if new.alias else {}
        for alias, reason in moves.items():
            move_alias(session, model=name, alias=alias, version=card.version, reason=reason, now=now, by=by)
        return card

    def _known(self, session: Session, name: str, new: NewVersion) -> ModelVersion | None:
        there = versions_of_file(session, model=name, digest=new.files[MODEL_FILE].digest)
        return next((one for one in there if (one.files, one.metrics) == (new.files, new.metrics)), None)

    def _made(self, session: Session, name: str, new: NewVersion, checked: Checked, now: datetime) -> ModelVersion:
        card = ModelVersion(
            name=name,
            version=next_version(session, model=name),
            files=new.files,
            metrics=new.metrics,
            signature=checked.signature,
            sample=self.blobs.put_bytes(checked.sample) if checked.sample is not None else None,
            lineage=Lineage(imported=new.imported),
            created_at=now,
        )
        add_version(session, card=card, card_blob=self.blobs.put_bytes(card.model_dump_json().encode()))
        return card

    def held(self, name: str, ref: BlobRef) -> Path:
        """A file's bytes, which stay from now on until a version names them. Raises BadInput if they are not here."""
        try:
            held = self.blobs.keep_on(ref.digest)
        except NotFound as error:
            raise BadInput(f"{name}: the controller holds no {ref.digest}; upload it first") from error
        if held.size_bytes != ref.size_bytes:
            raise BadInput(f"{name} has {held.size_bytes} bytes, not {ref.size_bytes}")
        return self.blobs.path(ref.digest)
