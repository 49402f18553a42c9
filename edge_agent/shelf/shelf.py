"""Wanted models and libraries as files at stable paths, complete or not there at all."""

import asyncio
import os
import shutil
from collections.abc import Collection, Iterable
from itertools import chain
from pathlib import Path

from pydantic import ValidationError

from edge_agent.data_folder import DataFolder
from edge_agent.fetching import Fetcher
from edge_agent.patience import to_its_end
from edge_agent.shelf.disk_room import DiskRoom
from edge_agent.shelf.library_packages import LibraryPackages
from edge_agent.shelf.library_trial import try_libraries
from edge_agent.shelf.model_trials import ModelTrials
from edge_agent.shelf.ready import ReadyModel, ReadyPipeline
from edge_agent.shelf.wanted_set import Note
from schemas.errors import BadPayload
from schemas.manifest import WantedModel, WantedPipeline
from schemas.models import MODEL_FILE, ModelVersion
from schemas.names import BlobRef
from schemas.pipelines import PipelineSpec

DOCUMENT_LIMIT_BYTES = 4 * 1024 * 1024  # a card or a pipeline's spec


class Shelf:
    """Fetches what a manifest names and lays it out; a folder gets its name once everything is in it."""

    def __init__(
        self, folder: DataFolder, fetcher: Fetcher, packages: LibraryPackages, *, reserve_bytes: int = 0
    ) -> None:
        self._models, self._libraries = folder.models, folder.libraries
        self._fetcher, self._packages = fetcher, packages
        self._room, self._trials = DiskRoom(fetcher, reserve_bytes), ModelTrials(fetcher)
        self._lock = asyncio.Lock()  # between those who lay out and those who clear away

    async def model(self, wanted: WantedModel, note: Note) -> ReadyModel:
        """A model version at ``models/<name>/<version>/``, tried.

        Raises:
            Unfit: it must not be served here.
            TidemillError: a file cannot be had, or the card is not this version's.
        """
        card = await self._card(wanted, note)
        with self._room.room_for(_files_of(card)):
            note(f"fetching {len(card.files)} files")
            files = {path: await self._fetcher.fetch(ref, note) for path, ref in card.files.items()}
            folder = self._folder_of(wanted)
            await self._lay_out(folder, files, wanted.card)
            await self._trials.ensure(wanted, card, folder, note)
        return ReadyModel(wanted.name, wanted.version, folder / MODEL_FILE, wanted.card.digest)

    async def pipeline(self, wanted: WantedPipeline, note: Note) -> ReadyPipeline:
        """A pipeline with everything its nodes refer to, and what its libraries require. Raises as ``model`` does."""
        try:
            spec = PipelineSpec.model_validate_json(await self._fetcher.read(wanted.spec, DOCUMENT_LIMIT_BYTES, note))
        except ValidationError as error:
            raise BadPayload(f"{wanted.spec.digest} is no pipeline this agent understands: {error}") from error
        cards = [await self._card(model, note) for model in wanted.models.values()]
        with self._room.room_for([*_needs_of(wanted), *chain.from_iterable(map(_files_of, cards))]):
            ready = ReadyPipeline(
                name=wanted.name,
                version=wanted.version,
                spec=spec,
                models={ref: await self.model(model, note) for ref, model in wanted.models.items()},
                libraries={name: await self._library(name, blob, note) for name, blob in wanted.libraries.items()},
                packages=await self._packages.install(wanted, note),
            )
        if ready.packages:
            note("trying whether its libraries find what they import")
            await try_libraries(ready.as_order())
        return ready

    async def holds(self, wanted: WantedPipeline) -> bool:
        """Whether ``pipeline`` would find everything here, without a connection."""
        blobs = [wanted.spec, *_needs_of(wanted), *(model.card for model in wanted.models.values())]
        if not all(self._fetcher.held(ref) for ref in blobs) or not self._packages.hold(wanted):
            return False
        return all([await self._holds_model(model) for model in wanted.models.values()])

    async def _holds_model(self, wanted: WantedModel) -> bool:
        card, folder = await self._card(wanted, lambda _: None), self._folder_of(wanted)
        there = (folder / MODEL_FILE).is_file() or all(self._fetcher.held(ref) for ref in card.files.values())
        tried = card.sample is None or self._fetcher.held(card.sample) or self._trials.passed(wanted, card, folder)
        return there and tried

    async def clear(self, models: Iterable[WantedModel], pipelines: Collection[WantedPipeline]) -> None:
        """Remove everything but these and what they need from the shelf; the blobs stay where they are."""
        kept_models = {self._folder_of(model) for model in models}
        for pipeline in pipelines:
            kept_models.update(map(self._folder_of, (*pipeline.models.values(), *pipeline.shadows.values())))
        kept_libraries = {self._libraries / _short(blob) for each in pipelines for blob in each.libraries.values()}
        kept_libraries.update(folder for each in pipelines if (folder := self._packages.folder_of(each)))
        async with self._lock:
            await to_its_end(asyncio.to_thread(_remove_others, self._models.glob("*/*"), kept_models))
            await to_its_end(asyncio.to_thread(_remove_others, self._libraries.glob("*"), kept_libraries))

    def _folder_of(self, model: WantedModel) -> Path:
        return self._models / model.name / str(model.version)

    async def _card(self, wanted: WantedModel, note: Note) -> ModelVersion:
        try:
            card = ModelVersion.model_validate_json(await self._fetcher.read(wanted.card, DOCUMENT_LIMIT_BYTES, note))
        except ValidationError as error:
            raise BadPayload(f"{wanted.card.digest} is no model card this agent understands: {error}") from error
        if (card.name, card.version) != (wanted.name, wanted.version):
            raise BadPayload(
                f"the card {wanted.card.digest} is of {card.name}:{card.version}, not of {wanted.name}:{wanted.version}"
            )
        if MODEL_FILE not in card.files:
            raise BadPayload(f"{card.name}:{card.version} has no {MODEL_FILE}")
        return card

    async def _library(self, name: str, blob: BlobRef, note: Note) -> Path:
        source = await self._fetcher.fetch(blob, note)
        folder = self._libraries / _short(blob)
        await self._lay_out(folder, {f"{name}.py": source}, blob)
        return folder / f"{name}.py"

    async def _lay_out(self, folder: Path, files: dict[str, Path], content: BlobRef) -> None:
        async with self._lock:
            await to_its_end(asyncio.to_thread(_make_folder, folder, files, content.digest))


def _files_of(card: ModelVersion) -> list[BlobRef]:
    return [*card.files.values(), *([card.sample] if card.sample else [])]


def _needs_of(wanted: WantedPipeline) -> list[BlobRef]:
    return [
        *wanted.libraries.values(),
        *(needed for needed in wanted.requirements.values() if isinstance(needed, BlobRef)),
    ]


def _short(blob: BlobRef) -> str:
    return blob.digest.removeprefix("sha256:")[:32]


def _make_folder(folder: Path, files: dict[str, Path], content: str) -> None:
    """Put the files there unless they are; ``.content`` tells a version from one of the same number made anew."""
    mark = folder / ".content"
    if mark.is_file() and mark.read_text() == content and all((folder / name).is_file() for name in files):
        return
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    for leftover in (unfinished, folder):
        shutil.rmtree(leftover, ignore_errors=True)
    for name, source in files.items():
        target = unfinished / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)  # the blob is read-only and so is its second name
        except OSError:  # a file system without hard links
            shutil.copyfile(source, target)
    (unfinished / ".content").write_text(content)
    unfinished.rename(folder)


def _remove_others(folders: Iterable[Path], kept: set[Path]) -> None:
    for folder in list(folders):
        if folder not in kept:
            shutil.rmtree(folder, ignore_errors=True)
