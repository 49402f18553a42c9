"""What each pipeline answers with, what it answered with before, and what it was gone back from; survives the agent."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from edge_agent.journal import Journal, PipelineRecord
from edge_agent.shelf.ready import ReadyPipeline
from edge_agent.shelf.shelf import Shelf
from schemas.errors import TidemillError
from schemas.manifest import WantedPipeline
from schemas.report import Returned

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Content:
    """A pipeline as the manifest named it, and as it lies here."""

    wanted: WantedPipeline
    ready: ReadyPipeline

    def is_other_than(self, other: "Content") -> bool:
        """Whether they answer differently; a name, a shadow or a watch make no difference."""
        return bare(self.wanted) != bare(other.wanted)

    def replaces_files_of(self, other: "Content") -> bool:
        """Whether a model's version was made anew under its number, so that the other's file is not there any more."""
        theirs = {model.path: model.content for model in other.ready.models.values()}
        return any(theirs.get(model.path, model.content) != model.content for model in self.ready.models.values())


def bare(wanted: WantedPipeline) -> WantedPipeline:
    """What a pipeline answers with, without its name and what is watched beside it."""
    return wanted.model_copy(update={"content_id": "", "shadows": {}, "health": None})


class Contents:
    """By the pipeline's name. Everything is written to the journal before anyone acts on it: see ``save``."""

    def __init__(self, journal: Journal) -> None:
        self._journal, self._saved = journal, journal.pipelines()
        self._served_before = _read(self._saved.served)  # by an earlier agent; until it is served again or replaced
        self._previous_before = _read(self._saved.previous)
        self.serving: dict[str, Content] = {}
        self.previous: dict[str, Content] = {}  # to go back to, until what is served has proved itself
        self.returned = {name: Returned.model_validate_json(body) for name, body in self._saved.returned.items()}

    async def take_up(self, wanted: Mapping[str, WantedPipeline], shelf: Shelf) -> None:
        """After a restart: until what is wanted now is here, serve what was served before; it is on the shelf.

        What is wanted still is not looked at: it is on its way to be served like everything that is wanted.
        """
        for name, pipeline in self._previous_before.items():
            if name in wanted and (content := await _from_shelf(pipeline, shelf)):
                self.previous[name] = content
        self._previous_before = {}
        for name, pipeline in list(self._served_before.items()):
            if wanted.get(name) == pipeline:
                continue
            if name in wanted and (content := await _from_shelf(pipeline, shelf)):
                self.serving.setdefault(name, content)
            self._served_before.pop(name, None)

    def keep_only(self, wanted: Mapping[str, WantedPipeline]) -> None:
        """Forget pipelines that are not wanted, and that others were gone back from once something else is wanted."""
        self.serving = {name: content for name, content in self.serving.items() if name in wanted}
        self.previous = {name: content for name, content in self.previous.items() if name in wanted}
        self.returned = {
            name: returned
            for name, returned in self.returned.items()
            if name in wanted and wanted[name].content_id == returned.content_id
        }

    def in_use(self) -> Iterator[WantedPipeline]:
        """Everything that has to stay on this machine."""
        yield from (content.wanted for content in (*self.serving.values(), *self.previous.values()))
        yield from (*self._served_before.values(), *self._previous_before.values())

    def was_refused(self, wanted: WantedPipeline) -> bool:
        """Whether this was gone back from, and nothing else was wanted since."""
        returned = self.returned.get(wanted.name)
        return returned is not None and returned.content_id == wanted.content_id

    def serve(self, content: Content) -> bool:
        """Answer with this; whether it is other content than before, and has to prove itself."""
        name, now = content.wanted.name, self.serving.get(content.wanted.name)
        self.serving[name] = content
        self._served_before.pop(name, None)
        if now is not None and not content.is_other_than(now):
            return False
        previous = self.previous.get(name, now)
        if previous is None or not content.wanted.content_id or not content.is_other_than(previous):
            self.previous.pop(name, None)
            return False
        if content.replaces_files_of(previous):
            self.previous.pop(name, None)
            return False
        self.previous[name] = previous  # the last that has proved itself
        return True

    def prove(self, name: str) -> None:
        """What is served has proved itself: nothing will be gone back to."""
        self.previous.pop(name, None)

    def turn_away(self, wanted: WantedPipeline, reason: str) -> None:
        """Do not serve this, which is wanted, until something else is; go on with, or go back to, what there is."""
        name = wanted.name
        if name not in self.serving and name in self.previous:
            self.serving[name] = self.previous.pop(name)
        if wanted.content_id and name in self.serving:
            self._note(wanted, reason)

    def go_back(self, name: str, reason: str) -> None:
        """Serve what answered before again."""
        self._note(self.serving[name].wanted, reason)
        self.serving[name] = self.previous.pop(name)

    def save(self) -> None:
        """Write it down, if it has changed."""
        serving = self._served_before | {name: content.wanted for name, content in self.serving.items()}
        previous = self._previous_before | {name: content.wanted for name, content in self.previous.items()}
        record = PipelineRecord(
            {name: wanted.model_dump_json() for name, wanted in serving.items()},
            {name: wanted.model_dump_json() for name, wanted in previous.items()},
            {name: returned.model_dump_json() for name, returned in self.returned.items()},
        )
        if record != self._saved:
            self._journal.save_pipelines(record)
            self._saved = record

    def _note(self, wanted: WantedPipeline, reason: str) -> None:
        log.warning("pipeline goes back", extra={"pipeline": wanted.name, "version": wanted.version, "reason": reason})
        self.returned[wanted.name] = Returned(
            content_id=wanted.content_id,
            version=wanted.version,
            models={ref: model.version for ref, model in wanted.models.items()},
            reason=reason,
            at=datetime.now(UTC),
        )


def _read(bodies: Mapping[str, str]) -> dict[str, WantedPipeline]:
    return {name: WantedPipeline.model_validate_json(body) for name, body in bodies.items()}


async def _from_shelf(pipeline: WantedPipeline, shelf: Shelf) -> Content | None:
    try:
        if await shelf.holds(pipeline):
            return Content(pipeline, await shelf.pipeline(pipeline, lambda _: None))
    except (TidemillError, OSError) as error:  # it has to wait for its next version
        log.warning("not served as before", extra={"pipeline": pipeline.name, "reason": str(error)})
    return None
