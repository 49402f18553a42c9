"""Carries out what a run needs next: select its data, dispatch it, fetch what it made, register its model."""

import asyncio
import logging

from controller.registry import Registry
from controller.runs.dispatch import Dispatcher
from controller.runs.logs import RunLogs
from controller.runs.steps import (
    Dispatch,
    Effect,
    Fetched,
    FetchOutputs,
    RegisterModel,
    Run,
    SelectData,
)
from controller.runs.supervisor import Supervisor
from controller.runs.task_writing import TaskWriter
from schemas.errors import NotFound, TaskFailed
from schemas.names import BlobRef
from schemas.runs import Exited, Outcome
from transport.transfer import BlobReceiver

log = logging.getLogger(__name__)


class RunWork:
    """The supervisor's worker."""

    def __init__(
        self,
        supervisor: Supervisor,
        writer: TaskWriter,
        registry: Registry,
        dispatcher: Dispatcher,
        receiver: BlobReceiver,
        logs: RunLogs,
    ) -> None:
        self._supervisor, self._writer, self._registry = supervisor, writer, registry
        self._dispatcher, self._receiver, self._logs = dispatcher, receiver, logs

    async def work(self, run: Run, effect: Effect) -> None:
        """Carry out one effect and tell the supervisor what came of it."""
        match effect:
            case SelectData():
                await self._supervisor.step(run.id, await self._writer.write(run))
            case Dispatch():
                await self._supervisor.step(run.id, await self._dispatcher.decide(run))
            case FetchOutputs():
                await self._fetch(run)
                await self._supervisor.step(run.id, Fetched(run.attempt))
            case RegisterModel():
                await self._registry.register_run(run, self._supervisor)

    async def _fetch(self, run: Run) -> None:
        """Pull the outputs, then the log; outputs that are gone end the run, a log that is gone is a pity.

        Raises:
            TaskFailed: the edge no longer holds an output.
            Unreachable: it does not answer now.
        """
        exited = run.exited or Exited(outcome=Outcome.LOST)
        for ref in wanted_files(exited):
            try:
                await self._receiver.fetch(run.edge, ref)
            except NotFound as error:
                raise TaskFailed(f"{run.edge} no longer holds an output of attempt {run.attempt}: {error}") from error
        if exited.log is not None:
            try:
                whole = await self._receiver.fetch(run.edge, exited.log)
                await asyncio.to_thread(self._logs.replace, run.id, run.attempt, whole)
            except NotFound:
                log.warning("log is gone from its edge", extra={"run": str(run.id), "edge": run.edge})


def wanted_files(exited: Exited) -> list[BlobRef]:
    """The outputs that must be here before a run can be checked."""
    if exited.outputs is None:
        return []
    return [exited.outputs.model, *exited.outputs.additional.values()]
