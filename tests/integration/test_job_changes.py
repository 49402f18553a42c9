"""Deleting and renaming jobs: what they made stays whole, and nothing else is touched."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlmodel import select

from controller.runs.requests import reproduce
from controller.runs.steps import Run
from controller.stores.job_changes import delete_job, rename_job
from controller.stores.jobs import fire_due, get_job, save_job
from controller.stores.models import last_of_job
from controller.stores.runs import last_row, list_rows, live_runs, watermarks
from controller.stores.tables import JobRow, RunRow, TriggerRow, VersionRow, WatermarkRow
from schemas.broker import BrokerAddress
from schemas.errors import Conflict, NotFound
from schemas.runs import LIVE, RunState
from tests.integration.registry_bench import Bench

TIMED: dict[str, Any] = {
    "schedule": {"every": "1h"},
    "triggers": [{"new_rows": 100, "collection": "readings"}],
}


@pytest.fixture
async def bench(tmp_path: Path, broker: BrokerAddress) -> AsyncIterator[Bench]:
    """A registry that has nothing yet."""
    async with Bench.open(tmp_path, broker) as opened:
        yield opened


def everything(bench: Bench) -> list[str]:
    """All rows that have to do with jobs and what they made."""
    with bench.database.transaction() as session:
        tables = JobRow, TriggerRow, WatermarkRow, RunRow, VersionRow
        return [row.model_dump_json() for table in tables for row in session.exec(select(table)).all()]


def delete(bench: Bench, name: str, *, cancel: bool = False) -> list[tuple[Run, Run]]:
    """Delete a job as the API does, and let the daemon know."""
    with bench.database.transaction() as session:
        steps = delete_job(session, name=name, cancel=cancel, now=bench.clock())
    for before, after in steps:
        bench.supervisor.tell(before, after)
    return steps


def rename(bench: Bench, old: str, new: str) -> None:
    """Rename a job."""
    with bench.database.transaction() as session:
        rename_job(session, old=old, new=new)


async def test_a_deleted_job_leaves_its_versions_whole(bench: Bench) -> None:
    """Every file of every version is there after its job was deleted, and all that could be was forgotten (defect 24).

    The runs stay as history, and belong to no job.
    """
    job = bench.job(**TIMED, keep={"versions": 1, "runs": 1})
    for number in range(3):
        left = {"weights": bench.blobs.put_bytes(f"weights {number}".encode())}
        await bench.register(bench.checking(job, additional=left, data=(bench.rows(5),)))
    cards = bench.versions()
    assert delete(bench, job.name) == []
    await bench.retention.forget_all()
    await bench.retention.sweep(young_s=-60)

    assert bench.versions() == cards
    refs = [ref for card in cards for ref in (*card.files.values(), *card.additional.values())]
    assert all(bench.blobs.has(ref.digest) for ref in refs)
    with bench.database.transaction() as session:
        assert [session.exec(select(table)).all() for table in (JobRow, TriggerRow, WatermarkRow)] == [[], [], []]
        rows = list_rows(session, job=None, state=None, before=None, limit=10)
    assert len(rows) == 3
    assert {row.job.partition(" ")[0] for row in rows} == {"retrain"}


async def test_deleting_a_job_touches_no_other(bench: Bench) -> None:
    """Another job on the same edge and model keeps its timer, marks, versions and its live run (defect 23)."""
    job, other = bench.job(**TIMED), bench.job("other", **TIMED)
    for one in (job, other):
        await bench.register(bench.checking(one, data=(bench.rows(5),)))
    live = bench.queued(other)

    def others() -> list[str]:
        return [row for row in everything(bench) if '"other"' in row]

    before = others()
    delete(bench, job.name)
    assert others() == before
    assert bench.run(live.id).state is RunState.QUEUED
    await bench.register(bench.checking(other))
    assert [card.lineage.job for card in bench.versions()] == ["retrain", "other", "other"]


async def test_a_refused_deletion_deletes_nothing(bench: Bench) -> None:
    """A job with a live run, or of another name, is not deleted, and all stays as it was (defect 27)."""
    job = bench.job(**TIMED)
    await bench.register(bench.checking(job, data=(bench.rows(5),)))
    live = bench.queued(job)
    before = everything(bench)
    with pytest.raises(Conflict, match=f"run {live.id} of retrain is queued"):
        delete(bench, job.name)
    with pytest.raises(NotFound, match="no job 'retrian'"):
        delete(bench, "retrian")
    assert everything(bench) == before


async def test_a_job_may_be_deleted_with_its_live_runs(bench: Bench) -> None:
    """With `cancel` they end, in the same transaction, with the reason; a late result of theirs changes nothing."""
    job = bench.job()
    runs = [bench.queued(job), bench.checking(job)]
    steps = delete(bench, job.name, cancel=True)
    assert {after.id for _, after in steps} == {run.id for run in runs}
    await bench.registry.register_run(runs[1], bench.supervisor)
    for run in runs:
        ended = bench.run(run.id)
        assert (ended.state, ended.reason) == (RunState.CANCELLED, "job retrain was deleted")
    assert bench.versions() == []


async def test_a_new_job_of_the_same_name_starts_anew(bench: Bench) -> None:
    """It goes on from nothing of the deleted one, has none of its history, and does not redo its runs."""
    job = bench.job(keep={"versions": 1})
    old = await bench.register(bench.checking(job, data=(bench.rows(5),)))
    delete(bench, job.name)
    bench.job(keep={"versions": 1})
    with bench.database.transaction() as session:
        assert last_of_job(session, job=job.name) is None
        assert last_row(session, job=job.name) is None
        assert watermarks(session, job=job.name) == {}
        with pytest.raises(NotFound, match="deleted"):
            reproduce(session, run_id=old.id, now=bench.clock())
    delete(bench, job.name)  # twice the same name is no trouble either


async def test_a_renamed_job_goes_on_where_it_was(bench: Bench) -> None:
    """Marks, triggers, versions, runs and the next time go with it: nothing fires, nothing is trained on again."""
    job = bench.job(**TIMED)
    done = await bench.register(bench.checking(job, data=(bench.rows(5),)))
    with bench.database.transaction() as session:
        due = get_job(session, name="retrain")[0].next_fire_at
        assert due is not None
    rename(bench, "retrain", "train-daily")

    with bench.database.transaction() as session:
        row, spec = get_job(session, name="train-daily")
        assert (spec.name, row.next_fire_at) == ("train-daily", due)
        assert spec.model_copy(update={"name": "retrain"}) == job
        assert watermarks(session, job="train-daily") == {1: {"readings": 5}}
        last = last_of_job(session, job="train-daily")
        assert last is not None
        assert last.lineage.job == "retrain"  # as it was called then
        assert [trigger.job for trigger in session.exec(select(TriggerRow))] == ["train-daily"]
        assert fire_due(session, now=due - timedelta(seconds=1)) == []
        assert live_runs(session) == []
    assert bench.run(done.id).job.name == "train-daily"
    assert [row for row in everything(bench) if '"job":"retrain"' in row] == []
    with bench.database.transaction() as session:
        (fired,) = fire_due(session, now=due)
    assert fired.job == "train-daily"


async def test_a_run_that_is_live_while_its_job_is_renamed_counts_for_the_new_name(bench: Bench) -> None:
    """The result of a run that was being registered under the old name moves the marks of the new one."""
    run = bench.checking(bench.job(), data=(bench.rows(5),))
    rename(bench, "retrain", "train-daily")
    await bench.register(run)  # as it was read before
    with bench.database.transaction() as session:
        assert watermarks(session, job="train-daily") == {1: {"readings": 5}}
        assert watermarks(session, job="retrain") == {}
        last = last_of_job(session, job="train-daily")
    assert last is not None
    assert last.lineage.run_id == run.id


async def test_a_name_that_is_taken_is_refused(bench: Bench) -> None:
    """No job takes another's name, not even its own again, and nothing changes."""
    bench.job()
    bench.job("other")
    before = everything(bench)
    for taken in ("other", "retrain"):
        with pytest.raises(Conflict, match=taken):
            rename(bench, "retrain", taken)
    with pytest.raises(NotFound):
        rename(bench, "unknown", "free")
    assert everything(bench) == before


async def test_jobs_may_change_names_with_deleted_ones(bench: Bench) -> None:
    """A job may take the name of one that was deleted, though both had runs for the same tick."""
    one, two = bench.job("one"), bench.job("two")
    at = bench.clock()
    for number, job in enumerate((one, two)):
        with bench.database.transaction() as session:
            session.add(
                RunRow(
                    id=UUID(int=number),
                    job=job.name,
                    spec=job.model_dump_json(),
                    trigger="schedule",
                    scheduled_at=at,
                    created_at=at,
                    state=RunState.FAILED,
                    edge="press-1",
                )
            )
    delete(bench, "one")
    rename(bench, "two", "one")
    with bench.database.transaction() as session:
        rows = list_rows(session, job="one", state=None, before=None, limit=9)
        assert [row.id for row in rows] == [UUID(int=1)]
        assert all(row.state not in LIVE for row in rows)
        save_job(session, spec=one, now=bench.clock())
