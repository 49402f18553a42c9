"""The supervisor over a real control database: turns, times and edges are decided where they are saved."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlmodel import Session

from controller.manifests import Manifests
from controller.runs.dispatch import Dispatcher
from controller.runs.steps import EdgeSaid, Effect, Event, Fetched, LeaseEnded, Run, SelectData, Selected
from controller.runs.supervisor import Supervisor
from controller.secrets import Secrets
from controller.signing_keys import SigningKeys
from controller.stores.database import Database, open_database
from controller.stores.edges import add_edge, note_presence, note_report
from controller.stores.job_changes import rename_job
from controller.stores.live_runs import wanted_runs
from controller.stores.runs import get_row, live_runs, load_run, queue_run
from controller.stores.tables import JobRow
from schemas.broker import BrokerAddress
from schemas.errors import Unreachable
from schemas.jobs import JobSpec
from schemas.names import BlobRef
from schemas.report import Capabilities, Report, TaskState, TaskStatus
from schemas.runs import Accepted, Exited, Outcome, RunState, Started, Usage
from schemas.wire import Presence
from transport.blob_store import BlobDirectory
from transport.mqtt import connect
from transport.sealing import StorageKey

TASK = BlobRef(digest="sha256:" + "0" * 64, size_bytes=1)
TIMEOUT_S = 30.0


def utc_now() -> datetime:
    """The clock."""
    return datetime.now(UTC)


class Desk:
    """A supervisor with its database, and the times at which it selected rows for runs."""

    def __init__(self, database: Database, manifests: Manifests, secrets: Secrets) -> None:
        self.database, self._manifests, self._secrets = database, manifests, secrets
        self._moved = asyncio.Event()
        self.selected_at: dict[UUID, datetime] = {}
        self.away: Exception | None = None  # what keeps rows from being selected
        self.begin()

    def begin(self) -> None:
        """Let a supervisor that knows nothing take up all runs."""
        self.supervisor = Supervisor(self.database, self._manifests, clock=utc_now)
        self._dispatcher = Dispatcher(self._secrets, self.supervisor.silent_s, clock=utc_now)
        self.supervisor.changed.append(lambda _: self._moved.set())
        self._serving = asyncio.create_task(self.supervisor.serve(self))

    async def end(self) -> None:
        """End the supervisor, wherever it is."""
        self._serving.cancel()
        await asyncio.wait({self._serving})

    async def work(self, run: Run, effect: Effect) -> None:
        """Select nothing, and fetch at once."""
        if isinstance(effect, SelectData) and self.away:
            raise self.away
        if isinstance(effect, SelectData):
            self.selected_at[run.id] = utc_now()
            await self.supervisor.step(run.id, Selected((), TASK, None))
        else:
            await self.supervisor.step(run.id, Fetched(run.attempt))

    def hand_out(self, session: Session, waiting: list[Run]) -> list[tuple[UUID, Event]]:
        """As the controller does."""
        return self._dispatcher.decide(session, waiting)

    async def queue(self, *, not_before: datetime | None = None, **changes: object) -> UUID:
        """Queue a run of a job for press-1."""
        written = {"name": "retrain", "model": "iris", "edge": "press-1", "scripts": ["train.py"]}
        job, now = JobSpec.model_validate(written | changes), utc_now()

        def work(session: Session) -> UUID:
            row = queue_run(session, job=job, trigger="manual", scheduled_at=now, now=now, not_before=not_before)
            assert row is not None
            return row.id

        run_id = await self.database.write(work)
        self.supervisor.wake()
        return run_id

    async def until(self, run_id: UUID, met: Callable[[Run], bool]) -> Run:
        """Wait until a run is as it should be."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                self._moved.clear()
                run = await self.database.read(lambda session: load_run(session, run_id=run_id))
                if met(run):
                    return run
                await self._moved.wait()

    async def those_on_the_edge(self) -> list[Run]:
        """Wait until there are runs on the edge."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                self._moved.clear()
                live = await self.database.read(live_runs)
                if found := [run for run in live if run.state is RunState.DISPATCHED]:
                    return found
                await self._moved.wait()

    async def said(self, run: Run, *events: Accepted | Started | Exited) -> Run:
        """Have the run's edge tell these."""
        for event in events:
            run = await self.supervisor.step(run.id, EdgeSaid(run.attempt, run.last_sequence + 1, event))
        return run


@pytest.fixture
async def desk(any_database_url: str, broker: BrokerAddress, tmp_path: Path) -> AsyncIterator[Desk]:
    """A supervisor at work, and an edge press-1 with room for one task that is there."""
    (tmp_path / "a folder").mkdir()  # of the SQLite file
    database = await asyncio.to_thread(open_database, any_database_url)
    async with connect(broker, "controller") as link:
        manifests = Manifests(database, SigningKeys(tmp_path), link)
        secrets_key = StorageKey.load_or_create(tmp_path / "secrets")
        await database.write(_enrol)
        made = Desk(
            database, manifests, Secrets(database, secrets_key, BlobDirectory(tmp_path / "blobs"), clock=utc_now)
        )
        yield made
        await made.end()
    await asyncio.get_running_loop().shutdown_default_executor()  # a transaction may have been under way
    database.close()


def _enrol(session: Session) -> None:
    add_edge(session, name="press-1", labels={}, sealing_key="", now=utc_now())
    note_presence(session, presence=Presence(edge="press-1", online=True, session_id="s"), now=utc_now())
    _report(session)


def _report(session: Session, *tasks: TaskStatus) -> None:
    capabilities = Capabilities(executors=("process",), cpus=1, memory_bytes=2**30, platform="linux-x86_64")
    report = Report(
        edge="press-1",
        session_id="s",
        generation=0,
        agent_version="0",
        started_at=utc_now(),
        capabilities=capabilities,
        tasks=tasks,
        disk_free_bytes=1,
        load=0.0,
    )
    note_report(session, report=report, now=utc_now())


def dispatched(run: Run) -> bool:
    """Whether a run is on its edge."""
    return run.state is RunState.DISPATCHED


async def test_no_run_starts_before_its_time(desk: Desk) -> None:
    """A run with jitter tells when it starts, selects no rows before that, and goes on by itself when it is time."""
    start = utc_now() + timedelta(seconds=1)
    run_id = await desk.queue(not_before=start)
    early = await desk.database.read(lambda session: load_run(session, run_id=run_id))
    assert early.reason == f"starts at {start:%Y-%m-%d %H:%M:%S} UTC"
    await desk.until(run_id, dispatched)
    assert desk.selected_at[run_id] >= start


async def test_a_run_whose_time_has_not_come_holds_up_no_other(desk: Desk) -> None:
    """A run queued by a person goes on while another one of its job waits for its jitter."""
    later = await desk.queue(not_before=utc_now() + timedelta(hours=1))
    run = await desk.until(await desk.queue(), dispatched)
    assert run.attempt == 1
    assert later not in desk.selected_at


async def test_two_runs_never_take_one_slot(desk: Desk) -> None:
    """Of ten runs that are queued at once an edge with one slot is given one, and the next when that has ended."""
    for number in range(10):
        await desk.queue(name=f"job-{number}")
    done: set[UUID] = set()
    while len(done) < 10:
        (run,) = await desk.those_on_the_edge()
        assert run.id not in done
        done.add(run.id)
        await desk.said(run, Accepted(), Exited(outcome=Outcome.SCRIPT_FAILED, reason="it failed"))


async def test_what_each_attempt_took_is_counted_once(desk: Desk) -> None:
    """A run's sums are those of its attempts, however often an end is told."""
    retry = {"on": ["out_of_disk"], "backoff": "0.1s"}
    run_id = await desk.queue(retry=retry)
    for attempt, outcome in ((1, Outcome.OUT_OF_DISK), (2, Outcome.SCRIPT_FAILED)):
        run = await desk.until(run_id, lambda run: dispatched(run) and run.attempt == attempt)  # noqa: B023
        usage = Usage(cpu_s=1.5 * attempt, energy_kwh=0.25, fetched_bytes=3_000_000_000)
        ended = await desk.said(run, Accepted(), Exited(outcome=outcome, reason="it failed", usage=usage))
        await desk.supervisor.step(run_id, EdgeSaid(attempt, ended.last_sequence, Exited(outcome=outcome, usage=usage)))
    await desk.until(run_id, lambda run: run.state is RunState.FAILED)
    row = await desk.database.read(lambda session: get_row(session, run_id=run_id))
    assert (row.cpu_s, row.energy_kwh, row.co2e_kg, row.fetched_bytes) == (4.5, 0.5, 0.0, 6_000_000_000)


async def test_what_a_manifest_says_of_a_run(desk: Desk) -> None:
    """A new attempt is asked for, an accepted or silent one only to go on, and one that has ended not at all."""

    async def wanted() -> list[tuple[int, bool]]:
        runs = await desk.database.read(lambda session: wanted_runs(session, edge="press-1"))
        return [(run.attempt, run.resume) for run in runs]

    run_id = await desk.queue(retry={"on": ["edge_lost"], "backoff": "1h", "backoff_cap": "1h"})
    run = await desk.until(run_id, dispatched)
    assert await wanted() == [(1, False)]
    run = await desk.said(run, Accepted())
    assert await wanted() == [(1, True)]
    await desk.supervisor.step(run_id, LeaseEnded(1, 4000.0))
    assert await wanted() == [(1, True)]


async def test_an_edge_that_is_back_is_asked_first(desk: Desk) -> None:
    """An attempt that its silent edge still has goes on, before its pause is over and before more urgent runs."""
    run_id = await desk.queue(name="first", retry={"backoff": "1h", "backoff_cap": "1h"})
    run = await desk.until(run_id, dispatched)
    await desk.said(run, Accepted(), Started(executor="process"))
    await desk.supervisor.step(run_id, LeaseEnded(1, 4000.0))
    status = TaskStatus(run_id=run_id, attempt=1, state=TaskState.RUNNING)
    await desk.database.write(lambda session: _report(session, status))
    urgent = await desk.queue(name="urgent", priority=100)
    back = await desk.until(run_id, lambda run: run.state is RunState.RUNNING)
    assert (back.attempt, back.reason) == (1, "press-1 is back and still has attempt 1")
    await desk.until(urgent, lambda run: "is busy with 1 of 1 tasks: first" in run.reason)


async def test_an_attempt_that_ended_is_asked_for_no_more(desk: Desk) -> None:
    """While a run pauses before its next attempt, its edge may forget the last one: its log is here."""
    run_id = await desk.queue(retry={"on": ["edge_lost"], "backoff": "1h", "backoff_cap": "1h"})
    run = await desk.until(run_id, dispatched)
    await desk.said(run, Accepted(), Exited(outcome=Outcome.LOST, reason="its container vanished"))
    paused = await desk.until(run_id, lambda run: run.state is RunState.QUEUED)
    assert "attempt 2 of 3 may start at" in paused.reason
    assert await desk.database.read(lambda session: wanted_runs(session, edge="press-1")) == ()


async def test_a_new_supervisor_goes_on_where_the_last_one_was(desk: Desk) -> None:
    """What a run needs next is read from its row: runs that wait for an edge or their turn are taken up again."""
    busy = await desk.until(await desk.queue(name="busy"), dispatched)
    waiting = await desk.queue(name="waiting", overlap="queue")
    await desk.until(waiting, lambda run: "is busy with 1 of 1 tasks: busy" in run.reason)
    behind = await desk.queue(name="waiting", overlap="queue")
    await desk.until(behind, lambda run: f"waits for run {waiting}" in run.reason)
    await desk.end()
    desk.begin()
    await desk.said(busy, Accepted(), Exited(outcome=Outcome.SCRIPT_FAILED, reason="it failed"))
    run = await desk.until(waiting, dispatched)
    await desk.said(run, Accepted(), Exited(outcome=Outcome.SCRIPT_FAILED, reason="it failed"))
    await desk.until(behind, dispatched)


async def test_a_run_that_waits_for_its_turn_survives_a_new_name(desk: Desk) -> None:
    """When a job is renamed while one run goes on and another waits, the other goes on when the first has ended."""

    def rename(session: Session) -> None:
        now, spec = utc_now(), load_run(session, run_id=first.id).job.model_dump_json()
        session.add(JobRow(name="retrain", spec=spec, created_at=now, anchor_at=now))
        session.flush()
        rename_job(session, old="retrain", new="again")

    first = await desk.until(await desk.queue(overlap="queue"), dispatched)
    behind = await desk.queue(overlap="queue")
    await desk.until(behind, lambda run: f"waits for run {first.id}" in run.reason)
    await desk.database.write(rename)
    await desk.said(first, Accepted(), Exited(outcome=Outcome.SCRIPT_FAILED, reason="it failed"))
    run = await desk.until(behind, dispatched)
    assert run.job.name == "again"


@pytest.mark.parametrize(
    ("away", "reason"),
    [
        (Unreachable("source erp does not answer"), "source erp does not answer"),
        (OSError(28, "No space left on device"), "the controller cannot read or write its files: [Errno 28] No space"),
    ],
)
async def test_a_run_tells_what_its_rows_wait_for(
    desk: Desk, caplog: pytest.LogCaptureFixture, away: Exception, reason: str
) -> None:
    """While the rows cannot be read or kept the run says why, the log says it once, and it goes on by itself."""
    desk.away = away
    run_id = await desk.queue()
    with caplog.at_level(logging.INFO):
        waits = await desk.until(run_id, lambda run: run.reason.endswith("; it is tried again"))
        assert waits.reason.startswith(reason)
        desk.away = None
        await desk.until(run_id, lambda run: run.state is RunState.DISPATCHED)
    assert sum(record.message == "effect is tried again" for record in caplog.records) == 1
