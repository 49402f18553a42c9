"""Models and pipelines as the manifest wants them: fetched, laid out, handed to the pipeline workers, watched."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from edge_agent.journal import Journal
from edge_agent.serving.contents import Content, Contents, bare
from edge_agent.serving.pipeline_report import status_of
from edge_agent.serving.pipelines import PipelineSupervisor
from edge_agent.serving.probation import Probation, Watched, judge
from edge_agent.serving.shadows import Shadows
from edge_agent.shelf.ready import ReadyModel, ReadyPipeline
from edge_agent.shelf.shelf import Shelf
from edge_agent.shelf.wanted_set import Entry, WantedSet
from schemas.manifest import Manifest, WantedModel, WantedPipeline
from schemas.report import ModelStatus, PipelineStatus

LOOK_S = 0.5  # how often it is looked at how a pipeline does that was swapped


class Deployments:
    """Follows the manifest's models and pipelines.

    A pipeline goes on as it is until everything of its next version is here, and goes back to it if that does not do.
    Which version that is stands in the journal, so that an agent restarted without a connection serves it again.
    """

    def __init__(
        self,
        shelf: Shelf,
        supervisor: PipelineSupervisor,
        journal: Journal,
        group: asyncio.TaskGroup,
        on_change: Callable[[], None],
    ) -> None:
        self._shelf, self._supervisor, self._on_change = shelf, supervisor, on_change
        self._models: WantedSet[WantedModel, ReadyModel] = WantedSet(shelf.model, group, on_change)
        self._shadows = Shadows(shelf, group, self._serve_ready)
        self._pipelines: WantedSet[WantedPipeline, ReadyPipeline] = WantedSet(shelf.pipeline, group, self._serve_ready)
        self._wanted: Mapping[str, WantedPipeline] = {}
        self._contents = Contents(journal)
        self._probations: dict[str, Probation] = {}

    async def apply(self, manifest: Manifest) -> None:
        """Want what this manifest wants."""
        wanted = {pipeline.name: pipeline for pipeline in manifest.pipelines}
        self._models.apply({f"model {model.name}:{model.version}": model for model in manifest.models})
        await self._contents.take_up(wanted, self._shelf)
        self._wanted = wanted
        self._contents.keep_only(wanted)
        self._shadows.apply(wanted)
        self._pipelines.apply({name: bare(pipeline) for name, pipeline in wanted.items()})
        self._serve_ready()
        await self._shelf.clear(manifest.models, [*manifest.pipelines, *self.served()])

    def model_statuses(self) -> tuple[ModelStatus, ...]:
        """What the report says of each wanted model."""
        return tuple(
            ModelStatus(name=entry.wanted.name, version=entry.wanted.version, state=entry.state, reason=entry.reason)
            for entry in self._models.entries.values()
        )

    def pipeline_statuses(self) -> tuple[PipelineStatus, ...]:
        """What the report says of each wanted pipeline."""
        running = {status.name: status for status in self._supervisor.statuses()}
        returned = self._contents.returned
        return tuple(
            status_of(entry, running.get(name), returned.get(name), list(self._shadows.troubles(self._wanted[name])))
            for name, entry in self._pipelines.entries.items()
        )

    def served(self) -> Iterator[WantedPipeline]:
        """What the pipeline workers have, or may go back to: it must stay."""
        return self._contents.in_use()

    async def watch(self) -> None:
        """See how what was swapped does, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()

    def look(self) -> None:
        """See how what was swapped does, and go back where it does not; go on without shadows where they do not."""
        serving, previous = self._contents.serving, self._contents.previous
        if not previous and not any(content.wanted.shadows for content in serving.values()):
            return
        changes = []
        for status in self._supervisor.statuses():
            if (content := serving.get(status.name)) is not None:
                changes.append(self._shadows.hear(content.wanted, status))
                if status.name in previous:
                    changes.append(self._judge(content, status))
        if any(changes):
            self._supervise()

    def _judge(self, content: Content, status: PipelineStatus) -> bool:
        """Whether that changes anything."""
        name = status.name
        probation = self._probations.setdefault(name, Probation(restarts=0))
        unloadable = self._supervisor.unloadable(name)
        watched = Watched(content.wanted.content_id, content.wanted.health, status, unloadable)
        verdict = judge(probation, watched, asyncio.get_running_loop().time())
        if verdict.fault:
            self._contents.go_back(name, verdict.fault)
        elif verdict.proved:
            self._contents.prove(name)
        return bool(verdict.fault or verdict.proved)

    def _serve_ready(self) -> None:
        for name, entry in self._pipelines.entries.items():
            wanted = self._wanted.get(name)
            if wanted is not None and bare(wanted) == entry.wanted and not self._contents.was_refused(wanted):
                self._serve(wanted, entry)
        self._supervise()

    def _serve(self, wanted: WantedPipeline, entry: Entry[WantedPipeline, ReadyPipeline]) -> None:
        if entry.ready is None:
            if entry.unfit:
                self._contents.turn_away(wanted, entry.reason)
        elif self._contents.serve(Content(wanted, entry.ready)):
            restarts = (status.restarts for status in self._supervisor.statuses() if status.name == wanted.name)
            self._probations[wanted.name] = Probation(next(restarts, 0))

    def _supervise(self) -> None:
        """Have the workers serve what is to be served; it is written down first."""
        self._contents.save()
        self._probations = {name: one for name, one in self._probations.items() if name in self._contents.previous}
        ready = {name: self._with_shadows(content) for name, content in self._contents.serving.items()}
        self._supervisor.apply(ready, coming=self._pipelines.entries.keys())
        self._on_change()

    def _with_shadows(self, content: Content) -> ReadyPipeline:
        """What its workers are told: with those of its shadows that are here."""
        wanted = content.wanted
        return replace(content.ready, content_id=wanted.content_id, shadows=self._shadows.of(wanted))
