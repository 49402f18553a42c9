"""Deciding which blobs may go when they take too much disk; what anything still refers to stays."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from pydantic import ValidationError

from edge_agent.tasks.inputs import SPEC_LIMIT_BYTES
from edge_agent.tasks.task_machine import Task
from schemas.errors import NotFound, TidemillError
from schemas.manifest import WantedModel, WantedPipeline
from schemas.models import ModelVersion
from schemas.names import BlobDigest, BlobRef
from schemas.tasks import TaskSpec
from transport.blob_store import BlobDirectory

log = logging.getLogger(__name__)

SPARED_S = 3600.0  # nothing younger goes: it may have been stored for something that is not written down yet
SWEEP_EVERY_S = 600.0


class BlobCache:
    """Marks what is referred to, and sweeps the rest, longest unused first, until all fit under the cap."""

    def __init__(
        self,
        blobs: BlobDirectory,
        in_use: Callable[[], Iterable[BlobRef]],
        *,
        cap_bytes: int,
        spared_s: float = SPARED_S,
    ) -> None:
        self._blobs, self._in_use, self._cap_bytes, self._spared_s = blobs, in_use, cap_bytes, spared_s

    async def serve(self) -> None:
        """Sweep now and then, until cancelled."""
        while True:
            in_use = {ref.digest for ref in self._in_use()}
            for part in set(self._blobs.parts()) - in_use:  # on the loop: no transfer can begin in between
                self._blobs.delete(part)
            freed_bytes = await asyncio.to_thread(self.sweep, in_use)
            if freed_bytes:
                log.info("blobs swept", extra={"freed_bytes": freed_bytes})
            await asyncio.sleep(SWEEP_EVERY_S)

    def sweep(self, in_use: set[BlobDigest]) -> int:
        """Delete what may go, if that is needed; blocks. Returns how many bytes that freed."""
        found, now = list(self._found()), time.time()
        excess = sum(size_bytes for _, size_bytes, _ in found) - self._cap_bytes
        freed_bytes = 0
        for age_s, _, digest in sorted(found, reverse=True):
            if freed_bytes >= excess or age_s < self._spared_s:
                break
            if digest not in in_use:
                freed_bytes += self._blobs.delete_unused(digest, before=now - self._spared_s) or 0
        return freed_bytes

    def _found(self) -> Iterator[tuple[float, int, BlobDigest]]:
        """Age in seconds, size in bytes and digest of each; one that goes meanwhile, as sealed secrets do, is none."""
        for digest in self._blobs.digests():
            with suppress(FileNotFoundError, NotFound):
                status = self._blobs.path(digest).stat()
                yield time.time() - status.st_mtime, status.st_size, digest


def blobs_of_tasks(tasks: Iterable[Task], blobs: BlobDirectory) -> Iterator[BlobRef]:
    """Each task's spec, its inputs while it has not ended, its outputs after that."""
    for task in tasks:
        yield task.spec
        if task.exited is not None:
            if task.exited.log is not None:
                yield task.exited.log
            if task.exited.progress is not None:
                yield task.exited.progress
            if (made := task.exited.outputs) is not None:
                yield from (made.model, *made.additional.values())
            continue
        if task.secrets is not None:
            yield task.secrets
        if (text := _held(task.spec, blobs)) is not None:
            try:
                yield from (ref for _, ref in TaskSpec.model_validate_json(text).files())
            except ValidationError:
                continue  # preparing will refuse it and say why


def blobs_of_models(models: Iterable[WantedModel], blobs: BlobDirectory) -> Iterator[BlobRef]:
    """Each version's card and, as far as the card is here, its files."""
    for model in models:
        yield model.card
        if (text := _held(model.card, blobs)) is not None:
            try:
                card = ModelVersion.model_validate_json(text)
            except ValidationError:
                continue  # the shelf will refuse it and say why
            yield from card.files.values()
            if card.sample is not None:
                yield card.sample


def blobs_of_pipelines(pipelines: Iterable[WantedPipeline], blobs: BlobDirectory) -> Iterator[BlobRef]:
    """Each pipeline's spec, libraries, their requirements and models."""
    for pipeline in pipelines:
        yield pipeline.spec
        yield from pipeline.libraries.values()
        yield from (needed for needed in pipeline.requirements.values() if isinstance(needed, BlobRef))
        yield from blobs_of_models((*pipeline.models.values(), *pipeline.shadows.values()), blobs)


def _held(ref: BlobRef, blobs: BlobDirectory) -> bytes | None:
    try:
        return blobs.read_bytes(ref.digest, SPEC_LIMIT_BYTES)
    except TidemillError:
        return None
