"""Models and pipelines as the manifest wants them: fetched, laid out, handed to the pipeline workers."""

import asyncio
import logging
from collections.abc import Callable, Iterator

from edge_agent.journal import Journal
from edge_agent.serving.pipelines import PipelineSupervisor
from edge_agent.serving.ready import ReadyModel, ReadyPipeline
from edge_agent.serving.shelf import Shelf
from edge_agent.serving.wanted_set import WantedSet
from schemas.errors import TidemillError
from schemas.manifest import Manifest, WantedModel, WantedPipeline
from schemas.report import ModelState, ModelStatus, PipelineState, PipelineStatus

log = logging.getLogger(__name__)


class Deployments:
    """Follows the manifest's models and pipelines.

    A pipeline goes on as it is until everything of its next version is here. Which version that is stands in the
    journal, so that an agent restarted without a connection serves it again.
    """

    def __init__(
        self,
        shelf: Shelf,
        supervisor: PipelineSupervisor,
        journal: Journal,
        group: asyncio.TaskGroup,
        on_change: Callable[[], None],
    ) -> None:
        self._shelf, self._supervisor, self._journal, self._on_change = shelf, supervisor, journal, on_change
        self._models: WantedSet[WantedModel, ReadyModel] = WantedSet(shelf.model, group, on_change)
        self._pipelines: WantedSet[WantedPipeline, ReadyPipeline] = WantedSet(shelf.pipeline, group, self._serve_ready)
        self._served: dict[str, tuple[WantedPipeline, ReadyPipeline]] = {}
        self._before = {
            name: WantedPipeline.model_validate_json(body) for name, body in journal.served_pipelines().items()
        }

    async def apply(self, manifest: Manifest) -> None:
        """Want what this manifest wants."""
        wanted = {pipeline.name: pipeline for pipeline in manifest.pipelines}
        self._models.apply({f"model {model.name}:{model.version}": model for model in manifest.models})
        await self._serve_as_before(wanted)
        self._served = {name: served for name, served in self._served.items() if name in wanted}
        self._pipelines.apply(wanted)
        self._serve_ready()
        await self._shelf.clear(manifest.models, [*manifest.pipelines, *self.served()])

    def model_statuses(self) -> tuple[ModelStatus, ...]:
        """What the report says of each wanted model."""
        return tuple(
            ModelStatus(name=entry.wanted.name, version=entry.wanted.version, state=entry.state, reason=entry.reason)
            for entry in self._models.entries.values()
        )

    def pipeline_statuses(self) -> tuple[PipelineStatus, ...]:
        """What the report says of each wanted pipeline: as it runs, and what its next version waits for."""
        running = {status.name: status for status in self._supervisor.statuses()}
        return tuple(self._status(name, running.get(name)) for name in self._pipelines.entries)

    def served(self) -> Iterator[WantedPipeline]:
        """What the pipeline workers have, or had before a restart: it must stay until the next version is here."""
        yield from self._before.values()
        yield from (wanted for wanted, _ in self._served.values())

    def _status(self, name: str, running: PipelineStatus | None) -> PipelineStatus:
        entry = self._pipelines.entries[name]
        if entry.ready is not None and running is not None:
            return running
        if running is not None:
            return running.model_copy(update={"reason": f"version {entry.wanted.version}: {entry.reason}"})
        state = PipelineState.FAILED if entry.state is ModelState.FAILED else PipelineState.STARTING
        return PipelineStatus(name=name, version=entry.wanted.version, state=state, reason=entry.reason)

    async def _serve_as_before(self, wanted: dict[str, WantedPipeline]) -> None:
        """After a restart: until what is wanted now is here, serve what was served before; it is on the shelf."""
        before, self._before = self._before, {}
        for name, pipeline in before.items():
            if name in wanted and wanted[name] != pipeline and self._shelf.holds(pipeline):
                try:
                    self._served[name] = pipeline, await self._shelf.pipeline(pipeline, _ignore)
                except (TidemillError, OSError) as error:  # it has to wait for its next version
                    log.warning("not served as before", extra={"pipeline": name, "reason": str(error)})

    def _serve_ready(self) -> None:
        for name, entry in self._pipelines.entries.items():
            if entry.ready is not None:
                self._served[name] = entry.wanted, entry.ready
        served = {name: wanted.model_dump_json() for name, (wanted, _) in self._served.items()}
        if served != self._journal.served_pipelines():
            self._journal.save_served_pipelines(served)
        ready = {name: ready for name, (_, ready) in self._served.items()}
        self._supervisor.apply(ready, coming=self._pipelines.entries.keys())
        self._on_change()


def _ignore(_: str) -> None:
    """Nothing is fetched, so there is nothing to note."""
