"""A crash right before and right after each thing that the agent writes down about a task."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from uuid import uuid4

import pytest

from edge_agent.contact import Contact
from edge_agent.energy.measuring import EnergyMeasuring
from edge_agent.execution import task_folder
from edge_agent.execution.executor import Executor, TaskHandle, TaskKey
from edge_agent.execution.install_settings import InstallSettings
from edge_agent.execution.process_executor import ProcessExecutor
from edge_agent.execution.secret_folder import SecretFolders
from edge_agent.fetching import Fetcher
from edge_agent.journal import Journal
from edge_agent.secrets import TaskSecrets
from edge_agent.tasks.board import TaskBoard
from edge_agent.tasks.inputs import Inputs
from edge_agent.tasks.task_machine import Task
from edge_agent.tasks.workshop import Workshop
from schemas.broker import BrokerAddress
from schemas.errors import TaskFailed
from schemas.manifest import Manifest, WantedRun
from schemas.report import TaskState
from schemas.runs import Accepted, EdgeEvent, Exited, Outcome, Preparing, RunEvent, Started
from schemas.tasks import TaskScript, TaskSpec
from tests.integration.scripted_controller import MODEL, mark_run
from transport.blob_store import BlobDirectory
from transport.mqtt import Link, connect
from transport.transfer import BlobReceiver

SAVES = 4  # of a task without requirements: a note, launching, launched, ended


class Killed(BaseException):
    """The agent is gone; nothing in it handles that."""


class MortalJournal(Journal):
    """A journal whose process dies at a given save, before it is written or after."""

    saves_left = 10**9
    after = False

    def save(self, task: Task, tell: Sequence[EdgeEvent]) -> Task:
        """As ever, unless this is the one to die at."""
        self.saves_left -= 1
        if self.saves_left == 0 and not self.after:
            raise Killed
        saved = super().save(task, tell)
        if self.saves_left == 0:
            raise Killed
        return saved


class StubbornExecutor(ProcessExecutor):
    """Cannot list or remove tasks at first, as when Docker finds its files busy."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "tasks", folder / "environments", InstallSettings())
        self.refused: list[str] = []

    async def all(self) -> list[TaskHandle]:
        """As ever, from the second time on."""
        self._refuse_once("all")
        return await super().all()

    async def remove(self, handle: TaskHandle) -> None:
        """As ever, from the second time on."""
        self._refuse_once("remove")
        await super().remove(handle)

    def _refuse_once(self, call: str) -> None:
        if call not in self.refused:
            self.refused.append(call)
            raise TaskFailed("Docker: device or resource busy")


class Bench:
    """Everything an agent works on tasks with, on the real disk; each ``live`` is one life of the agent."""

    def __init__(self, link: Link, folder: Path) -> None:
        self._link, self._folder = link, folder
        self.executor: Executor = ProcessExecutor(folder / "tasks", folder / "environments", InstallSettings())
        self.blobs = BlobDirectory(folder / "blobs")

    def wanted(self, script: str) -> WantedRun:
        """A run whose blobs are here already."""
        spec = TaskSpec(
            run_id=uuid4(),
            job="job",
            scripts=(TaskScript(name="train.py", blob=self.blobs.put_bytes(script.encode())),),
        )
        return WantedRun(run_id=spec.run_id, attempt=1, spec=self.blobs.put_bytes(spec.model_dump_json().encode()))

    async def live(self, run: WantedRun, *, dies_at: int = 10**9, after: bool = False) -> list[RunEvent]:
        """Follow a manifest that wants the run until its task has ended; returns all that would be told."""
        ended = asyncio.Event()
        with MortalJournal.open(self._folder / "journal.sqlite") as journal:
            journal.saves_left, journal.after = dies_at, after

            def look() -> None:
                if any(task.state is TaskState.FINISHED for task in journal.tasks()):
                    ended.set()

            async with asyncio.timeout(30), asyncio.TaskGroup() as group:
                board = TaskBoard(self._shop(journal, look), group, max_tasks=1)
                board.adopt()
                board.apply(Manifest(edge="press-1", generation=1, runs=(run,)))
                look()
                await ended.wait()
            return journal.unacknowledged()

    def _shop(self, journal: Journal, on_change: Callable[[], None]) -> Workshop:
        tasks = self._folder / "tasks"
        fetcher = Fetcher("press-1", self.blobs, BlobReceiver(self._link, self.blobs, me="edge"))
        return Workshop(
            edge="press-1",
            executor=self.executor,
            inputs=Inputs(fetcher, reserve_bytes=0),
            blobs=self.blobs,
            journal=journal,
            secrets=TaskSecrets("press-1", None, fetcher, SecretFolders(tasks, None, owner=None)),
            folders=tasks,
            link=self._link,
            contact=Contact(self._folder / "cut_off_since"),
            energy=EnergyMeasuring(None),
            reserve_bytes=0,
            on_change=on_change,
        )


@pytest.fixture
async def bench(broker: BrokerAddress, tmp_path: Path) -> AsyncIterator[Bench]:
    """A bench on a broker that takes the log."""
    async with connect(broker, "edge") as link:
        yield Bench(link, tmp_path)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("save", range(1, SAVES + 1))
async def test_a_crash_at_any_save_runs_nothing_twice_and_loses_no_end(
    bench: Bench, tmp_path: Path, save: int, after: bool
) -> None:
    """Wherever the agent dies, the next one brings the task to one end, told in an unbroken sequence.

    The scripts run exactly once, but for one point: dead after deciding to start them and before doing so, nobody can
    tell whether they ran, and the task is lost rather than started twice.
    """
    run = bench.wanted(mark_run(tmp_path / "runs") + MODEL)
    with pytest.raises(BaseExceptionGroup) as died:
        await bench.live(run, dies_at=save, after=after)
    assert died.group_contains(Killed)
    told = await bench.live(run)
    assert [event.sequence for event in told] == list(range(1, len(told) + 1))
    kinds = [type(event.event) for event in told if not isinstance(event.event, Preparing)]
    last = told[-1].event
    assert isinstance(last, Exited)
    if last.outcome is Outcome.LOST:
        assert kinds == [Accepted, Exited]
        assert after
        assert not (tmp_path / "runs").exists()
    else:
        assert (last.outcome, kinds) == (Outcome.OK, [Accepted, Started, Exited])
        assert (tmp_path / "runs").read_text() == "ran\n"


async def test_what_cannot_be_removed_at_once_does_not_end_the_agent(bench: Bench, tmp_path: Path) -> None:
    """What an ended task left, or one that the journal does not know, is removed in the end; all else goes on."""
    bench.executor = StubbornExecutor(tmp_path)
    (tmp_path / "tasks" / str(TaskKey(uuid4(), 1)) / "work").mkdir(parents=True)
    told = await bench.live(bench.wanted(MODEL))
    assert isinstance(told[-1].event, Exited)
    assert told[-1].event.outcome is Outcome.OK
    assert sorted(bench.executor.refused) == ["all", "remove"]
    assert task_folder.keys(tmp_path / "tasks") == []
