"""What the agent's journal promises: fences, unbroken sequences, and nothing half written."""

import sqlite3
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from edge_agent.execution.executor import TaskKey
from edge_agent.journal import Journal, PipelineRecord
from edge_agent.journal_schema import SCHEMA_VERSION
from edge_agent.tasks.task_machine import Noted, advance
from schemas.errors import BadInput, Conflict
from schemas.manifest import Manifest, WantedRun
from schemas.names import BlobRef

SPEC = BlobRef(digest=f"sha256:{'0' * 64}", size_bytes=1)


def wanted(run_id: UUID, attempt: int = 1) -> WantedRun:
    """A run as a manifest names it."""
    return WantedRun(run_id=run_id, attempt=attempt, spec=SPEC)


def test_what_was_written_is_there_after_reopening(tmp_path: Path) -> None:
    """Manifest, tasks and unsent events are found again by the next agent."""
    run_id, manifest = uuid4(), Manifest(edge="press-1", generation=7)
    with Journal.open(tmp_path / "journal.sqlite") as journal:
        journal.save_manifest(manifest)
        task = journal.save(*advance(journal.accept(wanted(run_id)), Noted("fetching")))
    with Journal.open(tmp_path / "journal.sqlite") as journal:
        assert journal.manifest() == manifest
        assert journal.tasks() == [task]
        assert [told.sequence for told in journal.unacknowledged()] == [1, 2]


@pytest.mark.parametrize("attempt", [1, 2])
def test_an_attempt_that_was_passed_is_never_taken(tmp_path: Path, attempt: int) -> None:
    """The fence holds for equal and lower attempts, also after the task was forgotten."""
    run_id = uuid4()
    with Journal.open(tmp_path / "journal.sqlite") as journal:
        journal.accept(wanted(run_id, 2))
        journal.forget(TaskKey(run_id, 2))
        with pytest.raises(Conflict, match=f"attempt {attempt} of run {run_id} comes after attempt 2"):
            journal.accept(wanted(run_id, attempt))
        assert journal.tasks() == []


def test_acknowledged_events_go_and_the_sequence_goes_on(tmp_path: Path) -> None:
    """Events up to the acknowledged one are dropped; later ones continue the numbering."""
    with Journal.open(tmp_path / "journal.sqlite") as journal:
        task = journal.accept(wanted(uuid4()))
        task = journal.save(*advance(task, Noted("a")))
        journal.acknowledge(task.key, 2)
        journal.save(*advance(task, Noted("b")))
        assert [told.sequence for told in journal.unacknowledged()] == [3]


def test_a_failing_step_leaves_nothing_behind(tmp_path: Path) -> None:
    """Task and events are written together or not at all."""
    path = tmp_path / "journal.sqlite"
    with Journal.open(path) as journal:
        task = journal.accept(wanted(uuid4()))
        advanced, told = advance(task, Noted("a"))
        rewound = advanced.model_copy(update={"sequence": 0})  # its event would take a number that is taken
        with pytest.raises(sqlite3.IntegrityError):
            journal.save(rewound, told)
        assert journal.tasks() == [task]


def test_fences_are_bounded_and_spare_live_tasks(tmp_path: Path) -> None:
    """The oldest fences go first, but never that of a task that is held."""
    runs = [uuid4() for _ in range(6)]
    with Journal.open(tmp_path / "journal.sqlite", fences_kept=3) as journal:
        for run_id in runs:
            journal.accept(wanted(run_id))
            if run_id != runs[0]:
                journal.forget(TaskKey(run_id, 1))
        assert [journal.fence(run_id) for run_id in runs] == [1, 0, 0, 1, 1, 1]


def test_a_newer_journal_is_refused(tmp_path: Path) -> None:
    """An older agent does not touch what a newer one wrote, and says what to do."""
    path = tmp_path / "journal.sqlite"
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(BadInput, match="run a newer agent"), Journal.open(path):
        pass


def test_what_pipelines_served_is_replaced_whole(tmp_path: Path) -> None:
    """What is served, what was before, and what was gone back from are found again together."""
    record = PipelineRecord({"p": "served"}, {"p": "previous"}, {"p": "returned"})
    with Journal.open(tmp_path / "journal.sqlite") as journal:
        assert journal.pipelines() == PipelineRecord({}, {}, {})
        journal.save_pipelines(PipelineRecord({"q": "old"}, {"q": "old"}, {"q": "old"}))
        journal.save_pipelines(record)
    with Journal.open(tmp_path / "journal.sqlite") as journal:
        assert journal.pipelines() == record


def test_an_older_journal_is_brought_up_to_date(tmp_path: Path) -> None:
    """One of schema 1 keeps its manifest, tasks and pipelines, and can go back from then on."""
    path = tmp_path / "journal.sqlite"
    manifest = Manifest(edge="press-1", generation=7)
    with Journal.open(path) as journal:
        task = journal.accept(wanted(uuid4()))
        journal.save_manifest(manifest)
        journal.save_pipelines(PipelineRecord({"p": "served"}, {}, {}))
    db = sqlite3.connect(path)
    db.executescript("DROP TABLE previous_pipelines; DROP TABLE returned_pipelines; PRAGMA user_version=1;")
    db.close()
    with Journal.open(path) as journal:
        assert (journal.manifest(), journal.tasks()) == (manifest, [task])
        assert journal.pipelines() == PipelineRecord({"p": "served"}, {}, {})
        journal.save_pipelines(PipelineRecord({}, {"p": "previous"}, {}))
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    db.close()
