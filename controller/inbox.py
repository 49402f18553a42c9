"""Takes what edges publish: presence, reports, run events, log lines, progress, what became of messages, rows."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Container
from datetime import datetime
from functools import partial

from pydantic import ValidationError
from sqlmodel import Session

from controller.data.collected import CollectedRows
from controller.manifests import Manifests
from controller.outcomes import Outcomes
from controller.runs.logs import RunLogs
from controller.runs.missing import missing
from controller.runs.records import RunRecords
from controller.runs.steps import EdgeSaid, Gone
from controller.runs.supervisor import Supervisor
from controller.stores.database import Database
from controller.stores.edges import note_presence, note_report
from controller.stores.servings import note_servings
from controller.stores.tables import EdgeRow
from schemas.errors import BadInput, NotFound, Unreachable
from schemas.outcomes import OutcomesTold
from schemas.report import Report
from schemas.runs import LogBatch, RunAck, RunEvent
from schemas.topics import (
    PIPELINE_OUTCOMES,
    PRESENCE,
    REPORT,
    ROWS,
    RUN_ACKS,
    RUN_EVENTS,
    RUN_LOGS,
    RUN_PROGRESS,
    Topic,
)
from schemas.wire import Presence
from transport.mqtt import Link, Message

log = logging.getLogger(__name__)

AGAIN_AFTER_S = 1.0  # after the database did not answer

BACKLOG = 100_000
"""Messages of one kind that may wait: thousands of edges may come at the same moment, and none says twice that it is
there. Mosquitto does not keep to its window of unacknowledged messages while some are being acknowledged."""


class Inbox:
    """One handler per family of topics. Every handler may see a message twice."""

    def __init__(  # noqa: PLR0913 - one part for each kind of message
        self,
        link: Link,
        database: Database,
        supervisor: Supervisor,
        manifests: Manifests,
        records: RunRecords,
        outcomes: Outcomes,
        *,
        collected: CollectedRows,
        clock: Callable[[], datetime],
        revoked: Container[str] = frozenset(),
        on_report: Callable[[], None] = lambda: None,
    ) -> None:
        """Take nothing yet.

        Args:
            link: To listen on, and to acknowledge on.
            database: The control database.
            supervisor: Told what happens to runs, and who is there.
            manifests: Told who needs one.
            records: Lines of runs.
            outcomes: What became of messages.
            collected: Rows of pipelines.
            clock: The controller's.
            revoked: Edges of which nothing is taken any more but what they say of themselves.
            on_report: Called when an edge came, went or reported.
        """
        self._link, self._database, self._supervisor, self._manifests = link, database, supervisor, manifests
        self._records, self._outcomes, self._collected, self._clock = records, outcomes, collected, clock
        self._revoked, self._on_report = revoked, on_report

    async def serve(self) -> None:
        """Take messages until cancelled."""
        handlers: dict[Topic, Handler] = {
            PRESENCE: self._presence,
            REPORT: self._report,
            RUN_EVENTS: self._run_event,
            RUN_LOGS: partial(self._lines, self._records.logs),
            PIPELINE_OUTCOMES: self._outcomes_told,
            RUN_PROGRESS: partial(self._lines, self._records.progress),
            ROWS: self._rows,
        }
        async with asyncio.TaskGroup() as tasks:
            for topic, handle in handlers.items():
                tasks.create_task(self._take(topic, handle), name=f"inbox {topic.pattern}")

    async def _take(self, topic: Topic, handle: "Handler") -> None:
        subscription = await self._link.subscribe_patiently(topic.filter(), queue_size=BACKLOG)
        async for message in subscription:
            ids = topic.parse(message.topic)
            if ids is None or (ids["edge"] in self._revoked and topic not in {PRESENCE, REPORT}):
                continue
            self._supervisor.heard(ids["edge"])
            await self._see_to(handle, ids["edge"], message)

    async def _see_to(self, handle: "Handler", edge: str, message: Message) -> None:
        """Handle a message, tried again while the database is away: its edge may say it only once."""
        while True:
            try:
                await handle(edge, message)
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                facts = {"topic": message.topic, "reason": f"{first['loc']}: {first['msg']}"}
                log.warning("message refused", extra=facts)
            except Unreachable as error:
                log.warning("message is handled later", extra={"topic": message.topic, "reason": str(error)})
                await asyncio.sleep(AGAIN_AFTER_S)
                continue
            except BadInput as error:  # such as a text that the database cannot hold
                log.warning("message refused", extra={"topic": message.topic, "reason": str(error)})
            return

    async def _presence(self, edge: str, message: Message) -> None:
        presence = Presence.model_validate_json(message.payload)
        if presence.edge != edge:
            return
        changed = await self._database.write(
            lambda session: note_presence(session, presence=presence, now=self._clock())
        )
        if changed:
            log.info("edge is online" if presence.online else "edge is offline", extra={"edge": edge})
            self._supervisor.edge_changed()
            self._on_report()
            if presence.online:
                self._manifests.mark(edge, again=True)

    async def _report(self, edge: str, message: Message) -> None:
        report = Report.model_validate_json(message.payload)
        if report.edge != edge:
            return
        row = await self._database.write(lambda session: _note(session, report, self._clock()))
        if row is None:
            return
        if report.generation != row.generation:
            self._manifests.mark(edge, again=True)  # it missed the last one, or knows a later one than we do
        elif self._manifests.key_for(row).key_id != row.signing_key_id:
            self._manifests.mark(edge)
        runs = self._supervisor.runs_on(edge)
        for run in missing(runs, report, generation=row.generation, wanted=row.wanted):
            await self._supervisor.step(run.id, Gone(run.attempt, f"{edge} has lost attempt {run.attempt}"))
        self._supervisor.edge_changed()
        self._on_report()

    async def _outcomes_told(self, _edge: str, message: Message) -> None:
        self._outcomes.heard(OutcomesTold.model_validate_json(message.payload))

    async def _rows(self, edge: str, message: Message) -> None:
        await self._collected.take(edge, message.payload)

    async def _run_event(self, edge: str, message: Message) -> None:
        said = RunEvent.model_validate_json(message.payload)
        upto = said.sequence
        try:
            run = await self._supervisor.find(said.run_id)
            if run.edge == edge:
                run = await self._supervisor.step(run.id, EdgeSaid(said.attempt, said.sequence, said.event))
            if run.edge == edge and run.attempt == said.attempt and run.ended_at is None:
                upto = run.last_sequence  # what lies beyond a gap is not saved: the edge sends it again
        except NotFound:
            log.warning("event of an unknown run", extra={"edge": edge, "run": str(said.run_id)})
        if upto > 0:
            ack = RunAck(run_id=said.run_id, attempt=said.attempt, sequence=upto)
            try:
                await self._link.publish(RUN_ACKS.to(edge=edge, run=str(said.run_id)), ack.to_wire())
            except Unreachable:  # its edge sends the event again
                log.info("acknowledgement not delivered", extra={"topic": message.topic})

    async def _lines(self, kept: RunLogs, edge: str, message: Message) -> None:
        batch = LogBatch.model_validate_json(message.payload)
        try:
            run = await self._supervisor.find(batch.run_id)
        except NotFound:
            return
        if run.edge == edge and run.attempt == batch.attempt and run.ended_at is None:
            lines, first = batch.lines, batch.first_line
            try:
                await asyncio.to_thread(kept.append, run.id, run.attempt, first_line=first, lines=lines)
            except OSError as error:  # a full disk: the whole log is fetched in the end
                facts = {"run": str(run.id), "lines": len(lines), "reason": str(error)}
                log.warning("lines not kept", extra=facts)
            self._records.news.announce(run.id)


def _note(session: Session, report: Report, now: datetime) -> EdgeRow | None:
    before = session.get(EdgeRow, report.edge)
    reported_at = before.reported_at if before else None
    row = note_report(session, report=report, now=now)
    if row is not None:
        note_servings(session, report=report, before=reported_at, now=now)
    return row


Handler = Callable[[str, Message], Awaitable[None]]
"""Takes the edge's name and the message."""
