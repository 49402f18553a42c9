"""Runs the pipelines that an edge should run, each in a worker process of its own."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from edge_agent.serving.pipeline_keeper import PipelineKeeper, Remembered
from edge_agent.serving.pipeline_sessions import PipelineSessions
from edge_agent.serving.replicas import pipeline_of, together, worker_names
from edge_agent.serving.state_folders import StateFolders
from edge_agent.shelf.ready import ReadyModel, ReadyPipeline
from schemas.broker import BrokerAddress
from schemas.errors import NotFound
from schemas.names import EdgeName
from schemas.pipelines import Outcome
from schemas.report import PipelineStatus

__all__ = ["PipelineSupervisor", "ReadyModel", "ReadyPipeline"]


class PipelineSupervisor:
    """Keeps workers as they are wanted."""

    def __init__(
        self,
        edge: EdgeName,
        broker: BrokerAddress,
        on_change: Callable[[], None],
        *,
        sessions_file: Path | None = None,
        states: StateFolders | None = None,
    ) -> None:
        """Start nothing yet.

        Args:
            edge: Part of the workers' client ids.
            broker: The one that the pipelines' data goes through.
            on_change: Called on the event loop when a status has changed in more than its counters.
            sessions_file: Where to note which sessions the broker keeps for us; without it, the session of a
                pipeline that is removed while the agent is off is never ended.
            states: Where nodes keep what they must not lose; without it, those that must keep something refuse.
        """
        self._edge, self._broker, self._on_change = edge, broker, on_change
        self._sessions = PipelineSessions(sessions_file)
        self._remembered = Remembered(self._sessions, states)
        self._keepers: dict[str, tuple[PipelineKeeper, asyncio.Task[None]]] = {}

    def apply(self, wanted: Mapping[str, ReadyPipeline], *, coming: Collection[str] | None = None) -> None:
        """Run these and no others; saying so again changes nothing.

        Args:
            wanted: By name, ready to run.
            coming: Pipelines that are wanted but not ready yet: the broker goes on keeping their messages. None: not
                known, so of the sessions of an earlier agent none is ended.
        """
        workers = {
            worker: pipeline
            for name, pipeline in wanted.items()
            for worker in worker_names(name, pipeline.spec.replicas)
        }
        unwanted = set(self._keepers)
        if coming is not None:
            later = set(coming).difference(wanted)
            unwanted |= {worker for worker in self._sessions.names if pipeline_of(worker) not in later}
        for worker in unwanted.difference(workers):
            self._keeper(worker).leave(wanted.get(pipeline_of(worker)))
        for worker, pipeline in workers.items():
            self._keeper(worker).want(pipeline)

    def statuses(self) -> tuple[PipelineStatus, ...]:
        """How each wanted pipeline does."""
        by_pipeline: dict[str, list[PipelineStatus]] = {}
        for worker, (keeper, _) in self._keepers.items():
            if (status := keeper.status) is not None:
                by_pipeline.setdefault(pipeline_of(worker), []).append(status)
        return tuple(together(statuses) for statuses in by_pipeline.values())

    def unloadable(self, name: str) -> str:
        """The content_id of what a worker of that pipeline could not load; empty: there is nothing such."""
        keepers = (keeper for worker, (keeper, _) in self._keepers.items() if pipeline_of(worker) == name)
        return next((keeper.unloadable for keeper in keepers if keeper.unloadable), "")

    async def outcomes(self, name: str, count: int) -> tuple[Outcome, ...]:
        """What became of a pipeline's last messages, newest first; of several workers, what each of them knows.

        Raises:
            NotFound: no such pipeline runs here.
            Unreachable: its worker does not run, or does not answer.
        """
        keepers = [keeper for worker, (keeper, _) in self._keepers.items() if pipeline_of(worker) == name]
        asked = [keeper.outcomes(count) for keeper in keepers if keeper.status is not None]
        if not asked:
            raise NotFound(f"this edge does not run {name}")
        told = [outcome for outcomes in await asyncio.gather(*asked) for outcome in outcomes]
        return tuple(sorted(told, key=lambda outcome: outcome.at, reverse=True)[:count])

    async def close(self) -> None:
        """End every worker, within five seconds; the broker keeps what comes for them meanwhile."""
        tasks = [task for _, task in self._keepers.values()]
        self._keepers.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _keeper(self, name: str) -> PipelineKeeper:
        keeper, task = self._keepers.get(name, (None, None))
        if keeper is None or task is None or task.done():
            client_id = f"tidemill-{self._edge}-pipeline-{name}"
            keeper = PipelineKeeper(name, client_id, self._broker, self._remembered, self._on_change)
            task = asyncio.create_task(keeper.run(), name=f"pipeline {name}")
            task.add_done_callback(lambda ended: self._remove(name, ended))
            self._keepers[name] = keeper, task
        return keeper

    def _remove(self, name: str, ended: asyncio.Task[None]) -> None:
        if name in self._keepers and self._keepers[name][1] is ended:
            del self._keepers[name]
