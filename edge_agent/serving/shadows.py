"""The models that are asked beside those that answer: made ready apart, and rather left out than in the way."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping

from edge_agent.shelf.ready import ReadyModel
from edge_agent.shelf.shelf import Shelf
from edge_agent.shelf.wanted_set import WantedSet
from schemas.manifest import WantedModel, WantedPipeline
from schemas.names import ModelRef
from schemas.report import ModelState, PipelineStatus

log = logging.getLogger(__name__)


class Shadows:
    """Of all pipelines."""

    def __init__(self, shelf: Shelf, group: asyncio.TaskGroup, on_change: Callable[[], None]) -> None:
        self._models: WantedSet[WantedModel, ReadyModel] = WantedSet(shelf.model, group, on_change)
        self._restarts: dict[str, int] = {}  # of each pipeline's workers, so far
        self._faults: dict[str, tuple[Mapping[ModelRef, WantedModel], str]] = {}

    def apply(self, wanted: Mapping[str, WantedPipeline]) -> None:
        """Want those of these pipelines."""
        self._models.apply(
            {_key(name, ref): model for name, each in wanted.items() for ref, model in each.shadows.items()}
        )
        self._restarts = {name: restarts for name, restarts in self._restarts.items() if name in wanted}
        self._faults = {
            name: fault for name, fault in self._faults.items() if name in wanted and wanted[name].shadows == fault[0]
        }

    def of(self, pipeline: WantedPipeline) -> dict[ModelRef, ReadyModel]:
        """Those of a pipeline that are to be asked now."""
        if pipeline.name in self._faults:
            return {}
        entries = {ref: self._models.entries.get(_key(pipeline.name, ref)) for ref in pipeline.shadows}
        return {
            ref: entry.ready
            for ref, entry in entries.items()
            if entry is not None and entry.ready is not None and entry.wanted == pipeline.shadows[ref]
        }

    def troubles(self, pipeline: WantedPipeline) -> Iterator[str]:
        """Why some of them are not asked."""
        if pipeline.name in self._faults:
            yield self._faults[pipeline.name][1]
            return
        for ref in pipeline.shadows:
            entry = self._models.entries.get(_key(pipeline.name, ref))
            if entry is not None and entry.state is not ModelState.READY:
                yield f"shadow of {ref}: {entry.reason or 'on its way'}"

    def hear(self, pipeline: WantedPipeline, status: PipelineStatus) -> bool:
        """Whether the pipeline has to go on without, since a worker ended with them: they may have been its end."""
        before = self._restarts.get(pipeline.name, status.restarts)
        self._restarts[pipeline.name] = status.restarts
        if status.restarts <= before or not self.of(pipeline):
            return False
        reason = f"its shadows are left out, as its worker ended with them: {status.reason}"
        log.warning("shadows left out", extra={"pipeline": pipeline.name, "reason": status.reason})
        self._faults[pipeline.name] = pipeline.shadows, reason
        return True


def _key(pipeline: str, ref: ModelRef) -> str:
    return f"shadow of {ref} in {pipeline}"
