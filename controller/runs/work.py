"""Carries out what a run needs next: select its data, dispatch it, fetch what it made, register its model."""

import asyncio
import logging
from pathlib import Path
from uuid import UUID

from sqlmodel import Session

from controller.models.registry import Registry
from controller.runs.dispatch import Dispatcher
from controller.runs.records import RunRecords
from controller.runs.steps import (
    Effect,
    Event,
    Fetched,
    FetchOutputs,
    Gone,
    RegisterModel,
    Run,
    SelectData,
)
from controller.runs.supervisor import Supervisor
from controller.runs.task_writing import TaskWriter
from schemas.errors import NotFound, TooLarge, Unreachable, Untrusted
from schemas.names import BlobRef, EdgeName
from schemas.runs import Exited, Outcome
from transport.transfer import BlobReceiver

log = logging.getLogger(__name__)

SELECTIONS_AT_ONCE = 8
"""A thousand jobs may be due at the same moment, and the next ones must not wait behind all their queries."""


class RunWork:
    """The supervisor's worker."""

    def __init__(
        self,
        supervisor: Supervisor,
        writer: TaskWriter,
        registry: Registry,
        dispatcher: Dispatcher,
        receiver: BlobReceiver,
        records: RunRecords,
    ) -> None:
        self._supervisor, self._writer, self._registry = supervisor, writer, registry
        self._dispatcher, self._receiver, self._records = dispatcher, receiver, records
        self._selecting = asyncio.Semaphore(SELECTIONS_AT_ONCE)

    async def work(self, run: Run, effect: Effect) -> None:
        """Carry out one effect and tell the supervisor what came of it."""
        match effect:
            case SelectData():
                async with self._selecting:
                    await self._supervisor.step(run.id, await self._writer.write(run))
            case FetchOutputs():
                await self._supervisor.step(run.id, await self._fetch(run))
            case RegisterModel():
                await self._registry.register_run(run, self._supervisor)

    def hand_out(self, session: Session, waiting: list[Run]) -> list[tuple[UUID, Event]]:
        """Decide which of the runs that wait for an edge go to which."""
        return self._dispatcher.decide(session, waiting)

    async def _fetch(self, run: Run) -> Event:
        """Pull the outputs, then what was told; outputs that are gone lose the attempt, a log that is gone is a pity.

        Raises:
            Unreachable: the edge does not answer now, or the disk here is full.
            Untrusted: an output is not what the edge said it was.
        """
        exited = run.exited or Exited(outcome=Outcome.LOST)
        for ref in wanted_files(exited):
            try:
                await self._pull(run.edge, ref)
            except NotFound as error:
                return Gone(run.attempt, f"{run.edge} no longer holds an output of attempt {run.attempt}: {error}")
        for told, kept in ((exited.log, self._records.logs), (exited.progress, self._records.progress)):
            if told is None:
                continue
            try:
                whole = await self._pull(run.edge, told)
                await asyncio.to_thread(kept.replace, run.id, run.attempt, whole)
            except (NotFound, Untrusted) as error:
                facts = {"run": str(run.id), "edge": run.edge, "reason": str(error)}
                log.warning("log or progress is lost", extra=facts)
        return Fetched(run.attempt)

    async def _pull(self, edge: EdgeName, ref: BlobRef) -> Path:
        """A blob's file. A disk that is full here now is no reason to lose what was trained: it is tried again."""
        try:
            return await self._receiver.fetch(edge, ref)
        except TooLarge as error:
            raise Unreachable(f"there is no room on the controller: {error}") from error


def wanted_files(exited: Exited) -> list[BlobRef]:
    """The outputs that must be here before a run can be checked."""
    if exited.outputs is None:
        return []
    return [exited.outputs.model, *exited.outputs.additional.values()]
