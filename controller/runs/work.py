"""Carries out what a run needs next: select its data, dispatch it, fetch what it made, register its model."""

import asyncio
import logging

from sqlmodel import Session

from controller.registry import Registry
from controller.runs.logs import RunLogs
from controller.runs.steps import (
    Dispatch,
    Dispatched,
    Effect,
    Event,
    Fetched,
    FetchOutputs,
    Found,
    RegisterModel,
    Run,
    SelectData,
    Waits,
)
from controller.runs.supervisor import Supervisor
from controller.runs.task_writing import TaskWriter
from controller.stores.database import Database
from controller.stores.edges import get_edge, report_of
from controller.stores.runs import live_runs
from controller.stores.tables import EdgeRow
from schemas.errors import NotFound, TaskFailed
from schemas.names import BlobRef
from schemas.runs import ON_EDGE, Exited, Outcome, RunState
from transport.transfer import BlobReceiver

log = logging.getLogger(__name__)

_OCCUPYING = ON_EDGE - {RunState.UPLOADING, RunState.CHECKING}
"""The states in which a run uses its edge's processor."""


class RunWork:
    """The supervisor's worker."""

    def __init__(
        self,
        supervisor: Supervisor,
        writer: TaskWriter,
        registry: Registry,
        database: Database,
        receiver: BlobReceiver,
        logs: RunLogs,
    ) -> None:
        self._supervisor, self._writer, self._registry = supervisor, writer, registry
        self._database, self._receiver, self._logs = database, receiver, logs

    async def work(self, run: Run, effect: Effect) -> None:
        """Carry out one effect and tell the supervisor what came of it."""
        match effect:
            case SelectData():
                await self._supervisor.step(run.id, await self._writer.write(run))
            case Dispatch():
                event = await self._database.read(lambda session: may_start(session, run))
                await self._supervisor.step(run.id, event)
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


def may_start(session: Session, run: Run) -> Event:
    """Whether the run's edge is there and has room: ``Dispatched``, or ``Waits`` with the reason.

    An edge that comes back is asked first whether it still has the attempt that it was given: ``Found``.
    """
    try:
        edge = get_edge(session, name=run.edge)
    except NotFound as error:
        return Waits(str(error))
    report = report_of(edge)
    reason = _absence(edge)
    if not reason and report is not None:
        if run.exited is None and any((task.run_id, task.attempt) == (run.id, run.attempt) for task in report.tasks):
            return Found(run.attempt)
        reason = _lack_of_room(session, run, report.capabilities.max_tasks)
    if not reason:
        return Dispatched()
    return Waits(f"{reason}; attempt {run.attempt} was lost" if run.attempt else reason)


def _absence(edge: EdgeRow) -> str:
    """Why nothing can be given to an edge now; empty if it is there and has said what it has."""
    if not edge.online:
        since = f" since {edge.since:%Y-%m-%d %H:%M:%S} UTC" if edge.since else ": it was never seen"
        return f"{edge.name} is offline{since}"
    if edge.reported_at is None or (edge.since is not None and edge.reported_at < edge.since):
        return f"{edge.name} is back and has not reported yet"
    return ""


def _lack_of_room(session: Session, run: Run, max_tasks: int) -> str:
    """Why the edge can take no more tasks now; empty if it can."""
    busy = [other for other in live_runs(session, edge=run.edge) if other.state in _OCCUPYING]
    if len(busy) >= max_tasks:
        jobs = ", ".join(sorted({other.job.name for other in busy}))
        return f"{run.edge} is busy with {len(busy)} of {max_tasks} tasks: {jobs}"
    return ""
