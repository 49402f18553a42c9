"""Lets nobody have a model that was not tried here: once for each card and each version of the runtime."""

import asyncio
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edge_agent.fetching import Fetcher
from edge_agent.patience import to_its_end
from edge_agent.shelf.model_trial import Trial, try_model
from edge_agent.shelf.wanted_set import Note
from schemas.errors import TidemillError, Untrusted
from schemas.manifest import WantedModel
from schemas.models import ModelVersion

_MARK = ".tried"  # in the version's folder, so that it goes with what was tried
_RUNTIMES = ("onnxruntime", "onnxruntime-gpu")  # the distributions that bring it


class ModelTrials:
    """One trial at a time: two would push out what serves."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher, self._turn = fetcher, asyncio.Lock()
        self._runtime = _runtime()

    def passed(self, wanted: WantedModel, card: ModelVersion, folder: Path) -> bool:
        """Whether it was tried, by this runtime, and its files have the sizes that they had."""
        try:
            whole = all((folder / name).stat().st_size == ref.size_bytes for name, ref in card.files.items())
            return whole and (folder / _MARK).read_text(encoding="utf-8") == self._mark(wanted)
        except OSError:
            return False

    async def ensure(self, wanted: WantedModel, card: ModelVersion, folder: Path, note: Note) -> None:
        """Try what lies in the folder, unless it passed before.

        Raises:
            Unfit: it must not be served; the message says why.
            Untrusted: a file was damaged on this disk; it is deleted, and will be fetched anew.
            TidemillError: its sample cannot be had, or the trial took too long.
        """
        if self.passed(wanted, card, folder):
            return
        sample = await self._fetcher.fetch(card.sample, note) if card.sample else None
        digests = {name: ref.digest for name, ref in card.files.items()}
        async with self._turn:
            if self.passed(wanted, card, folder):
                return
            note("trying the model")
            try:
                damaged = await try_model(Trial(folder=folder.absolute(), files=digests, sample=sample))
            except TidemillError as error:
                raise type(error)(f"model {card.name}:{card.version} is not served: {error}") from error
            if damaged:
                if folder.exists():  # else another has seen that already, and its files may be on their way
                    await to_its_end(asyncio.to_thread(self._forget, card, folder, damaged))
                raise Untrusted(f"{card.name}:{card.version}: {', '.join(damaged)} was damaged on this machine's disk")
            (folder / _MARK).write_text(self._mark(wanted), encoding="utf-8")

    def _forget(self, card: ModelVersion, folder: Path, damaged: tuple[str, ...]) -> None:
        for name in damaged:
            self._fetcher.forget(card.files[name])
        shutil.rmtree(folder, ignore_errors=True)

    def _mark(self, wanted: WantedModel) -> str:
        return f"{wanted.card.digest} {self._runtime}"


def _runtime() -> str:
    """Which ONNX Runtime is installed; an agent does not import it."""
    for name in _RUNTIMES:
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
    return "no runtime"  # a trial will say so
