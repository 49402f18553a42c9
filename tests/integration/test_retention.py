"""What is forgotten of the past, what is kept for ever, and that nothing dangles whenever the controller is killed."""

import asyncio
import os
import random
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlmodel import select

from controller.blob_sweep import referred
from controller.retention import Retention
from controller.runs.logs import RunLogs
from controller.runs.steps import Run
from controller.stores.blob_references import blob_references
from controller.stores.edges import add_edge
from controller.stores.job_changes import delete_job
from controller.stores.models import get_version, move_alias
from controller.stores.retention import MOST_AT_ONCE
from controller.stores.serving import add_library, add_pipeline, save_deployment
from controller.stores.tables import EdgeRow, PlacementRow, RolloutRow, RunRow, VersionRow
from controller.stores.usage import usage_of, usage_of_all
from schemas.broker import BrokerAddress
from schemas.deployments import DeploymentSpec
from schemas.errors import NotFound
from schemas.fleet import LibrarySpec
from schemas.jobs import JobSpec, Keep
from schemas.manifest import Manifest, WantedModel
from schemas.models import MODEL_FILE
from schemas.names import BlobRef
from schemas.pipelines import PipelineSpec
from schemas.runs import RunState
from tests.e2e.world import until
from tests.integration.registry_bench import Bench


@pytest.fixture
async def bench(tmp_path: Path, broker: BrokerAddress) -> AsyncIterator[Bench]:
    """A registry that has nothing yet."""
    async with Bench.open(tmp_path, broker) as opened:
        yield opened


def numbers(bench: Bench, model: str = "iris") -> list[int]:
    """The versions that there are."""
    return [card.version for card in bench.versions(model)]


def ended(bench: Bench, job: JobSpec, state: RunState = RunState.FAILED) -> Run:
    """A run that ended, with a log."""
    run = bench.moved(bench.queued(job), state=state, attempt=2, ended_at=bench.clock(), deadline=None)
    for attempt in (1, 2):
        bench.records.logs.append(run.id, attempt, first_line=0, lines=["hello"])
    bench.records.progress.append(run.id, 2, first_line=0, lines=['{"loss": 1}'])
    return run


def run_ids(bench: Bench) -> set[UUID]:
    """The runs that there are."""
    with bench.database.transaction() as session:
        return set(session.exec(select(RunRow.id)))


def nothing_dangles(bench: Bench) -> bool:
    """Whether every blob that something refers to is held."""
    with bench.database.transaction() as session:
        return all(bench.blobs.has(digest) for digest in referred(blob_references(session), bench.blobs))


async def made(bench: Bench, job: JobSpec, count: int) -> None:
    """So many versions of a job's model."""
    for _ in range(count):
        await bench.register(bench.checking(job))


async def test_old_versions_go_and_what_is_in_use_stays(bench: Bench) -> None:
    """The newest stay, and champion, aliases, what they stood for, and what deployments, pipelines and jobs name."""
    job = bench.job(keep={"versions": 2})
    await made(bench, job, 8)
    with bench.database.transaction() as session:
        now = bench.clock()
        for version in (2, 1):  # so it stands for 1, and stood for 2
            move_alias(session, model="iris", alias="champion", version=version, reason="by hand", now=now)
        save_deployment(session, spec=DeploymentSpec(name="d", edges=("press-1",), model="iris:3"), now=now)
        nodes = ({"id": "in", "type": "mqtt_sub"}, {"id": "m", "type": "model", "model": "iris:4"})
        spec = PipelineSpec.model_validate({"name": "p", "nodes": nodes})
        add_pipeline(session, spec=spec, blob=bench.blobs.put_bytes(b"p"), now=now)
    bench.job("other", base_model="iris:5", model="other")
    await bench.retention.forget_all()
    assert numbers(bench) == [1, 2, 3, 4, 5, 7, 8]
    with bench.database.transaction() as session, pytest.raises(NotFound, match="has no version 6"):
        get_version(session, model="iris", version=6)


async def test_a_job_forgets_no_version_but_its_own(bench: Bench) -> None:
    """What a person uploaded and what another job made in the same model stays; without `keep` all of it does."""
    keeps, all_stay = bench.job("few", keep={"versions": 1}), bench.job("all")
    await bench.upload({"model.onnx": bench.model(3.0)})
    for _ in range(3):
        await bench.register(bench.checking(keeps))
        await bench.register(bench.checking(all_stay))
    await bench.retention.forget_all()
    of = {card.version: card.lineage.job for card in bench.versions()}
    assert of == {1: None, 3: "all", 5: "all", 6: "few", 7: "all"}


async def test_the_version_that_a_job_goes_on_from_stays(bench: Bench) -> None:
    """Newer versions that only reproduce an earlier run do not push out the one that the next run starts from."""
    job = bench.job(keep={"versions": 1}, gate={"policy": "manual"})
    first = await bench.register(bench.checking(job))
    for _ in range(2):
        await bench.register(bench.checking(job, replays=first.id))
    await bench.retention.forget_all()
    assert numbers(bench) == [1, 3]


async def test_old_runs_go_with_their_files(bench: Bench) -> None:
    """Of ended runs the newest stay, with log and progress; live ones always, and what they train on once more."""
    job = bench.job(keep={"runs": 2})
    live, replayed = bench.queued(job), ended(bench, job)
    again = bench.queued(job, replays=replayed.id)
    old, *kept = [ended(bench, job) for _ in range(3)]
    skipped = [ended(bench, job, RunState.SKIPPED) for _ in range(3)]  # these have a number of their own
    retention = bench.retention
    await retention.forget_of({job.name})
    stay = {run.id for run in (live, replayed, again, *kept, *skipped)}
    assert run_ids(bench) == stay
    assert {run_id for run_id, _ in bench.records.attempts()} == stay - {live.id, again.id}
    assert bench.records.logs.read(old.id, 1, from_line=0, limit=9) == ([], 0)
    assert (retention.freed.runs, retention.freed.versions) == (1, 0)


async def test_many_old_runs_go_a_few_at_a_time(bench: Bench) -> None:
    """More than one transaction may delete are all forgotten, those of deleted jobs included."""
    job = bench.job(keep={"runs": 1})
    with bench.database.transaction() as session:
        for _ in range(MOST_AT_ONCE + 2):
            fields: dict[str, Any] = {
                "job": job.name,
                "spec": job.model_dump_json(),
                "trigger": "manual",
                "edge": "press-1",
            }
            at = bench.clock()
            id_ = UUID(int=int(at.timestamp()))
            session.add(RunRow(id=id_, **fields, scheduled_at=at, created_at=at, state=RunState.FAILED, ended_at=at))
    await bench.retention.forget_all()
    assert len(run_ids(bench)) == 1
    with bench.database.transaction() as session:
        delete_job(session, name=job.name, cancel=False, now=bench.clock())
    await bench.retention.forget_all()
    assert len(run_ids(bench)) == 1  # history, until a thousand newer ones of deleted jobs came


async def test_skipped_runs_of_deleted_jobs_are_forgotten_too(bench: Bench) -> None:
    """However many jobs come and go, what was skipped of them does not pile up for ever."""
    with bench.database.transaction() as session:
        for number in range(Keep().runs + 2):
            at = bench.clock()
            fields: dict[str, Any] = {"job": f"job {number} (deleted)", "spec": "{}", "trigger": "schedule", "edge": ""}
            row = RunRow(id=UUID(int=number), **fields, scheduled_at=at, created_at=at, ended_at=at, state="skipped")
            session.add(row)
    await bench.retention.forget_all()
    assert run_ids(bench) == {UUID(int=number) for number in range(2, Keep().runs + 2)}


async def test_a_log_goes_on_behind_a_line_that_a_crash_cut_off(tmp_path: Path) -> None:
    """What is half there is dropped and taken again; it does not run into the next line, nor swallow it."""
    run_id = UUID(int=1)
    RunLogs(tmp_path).append(run_id, 1, first_line=0, lines=["zero", "one"])
    with (tmp_path / f"{run_id}-1.log").open("a", encoding="utf-8") as file:
        file.write("2")
    logs = RunLogs(tmp_path)
    logs.append(run_id, 1, first_line=1, lines=["one", "two"])
    logs.append(run_id, 1, first_line=3, lines=["three"])
    assert logs.read(run_id, 1, from_line=0, limit=9) == (["zero", "one", "two", "three"], 4)


async def test_a_sweep_takes_what_nothing_refers_to(bench: Bench) -> None:
    """Blobs and half-pulled parts that nothing names go when they are old; young ones, and all that is named, stay."""
    await made(bench, bench.job(inputs=[named(bench, b"input")]), 2)
    bench.checking(bench.job("live"), additional={"w": bench.blobs.put_bytes(b"output of a live run")})
    bench.moved(bench.queued(bench.job("sealed")), secrets=bench.blobs.put_bytes(b"sealed"))
    with bench.database.transaction() as session:
        files = {"file": named(bench, b"def exec(x): return x"), "requirements": named(bench, b"tidepool")}
        library = LibrarySpec.model_validate({"name": "pipelib_x", **files})
        add_library(session, spec=library, now=bench.clock())
    garbage = bench.blobs.put_bytes(b"uploaded, and never applied")
    half = BlobRef(digest=f"sha256:{'1' * 64}", size_bytes=9)
    with bench.blobs.part(half.digest) as part:
        part.write(b"half")
    held = set(bench.blobs.digests())

    retention = bench.retention
    await retention.sweep()
    assert set(bench.blobs.digests()) == held  # all are young
    await retention.sweep(young_s=-60)
    assert held - set(bench.blobs.digests()) == {garbage.digest}
    assert list(bench.blobs.parts()) == []
    assert nothing_dangles(bench)
    assert retention.freed.bytes >= len(b"uploaded, and never applied") + len(b"half")


def named(bench: Bench, text: bytes) -> dict[str, object]:
    """A file that a document names."""
    return {"path": "x.py", "blob": bench.blobs.put_bytes(text).model_dump()}


async def test_what_an_edge_was_told_stays(bench: Bench) -> None:
    """The files of a version that a published manifest names are served, even when the version is gone."""
    job = bench.job(keep={"versions": 1, "runs": 1})
    await made(bench, job, 4)
    with bench.database.transaction() as session:
        card, blob = get_version(session, model="iris", version=1)
        unnamed, _ = get_version(session, model="iris", version=2)
        add_edge(session, name="press-1", labels={}, sealing_key="", now=bench.clock())
        row = session.get(EdgeRow, "press-1")
        assert row is not None
        told = Manifest(edge="press-1", generation=1, models=(WantedModel(name="iris", version=1, card=blob),))
        row.wanted = told.model_dump_json()
        session.delete(session.get_one(VersionRow, ("iris", 1)))
    retention = bench.retention
    await retention.forget_all()
    await retention.sweep(young_s=-60)
    assert numbers(bench) == [3, 4]
    assert bench.blobs.has(blob.digest)
    assert bench.blobs.has(card.files[MODEL_FILE].digest)
    assert not bench.blobs.has(unnamed.files[MODEL_FILE].digest)


async def test_what_edges_hold_or_would_go_back_to_is_not_forgotten(bench: Bench) -> None:
    """A version stays that an edge's manifest holds, and one that a deployment would go back to on some edge."""
    job = bench.job(keep={"versions": 1})
    await made(bench, job, 6)
    with bench.database.transaction() as session:
        now = bench.clock()
        first, second = (
            WantedModel(name="iris", version=version, card=get_version(session, model="iris", version=version)[1])
            for version in (1, 2)
        )
        add_edge(session, name="press-1", labels={}, sealing_key="", now=now)
        told = Manifest(edge="press-1", generation=1, models=(first,))
        session.get_one(EdgeRow, "press-1").wanted = told.model_dump_json()
        session.add(
            RolloutRow(
                deployment="d",
                number=1,
                wish="",
                content=second.model_dump_json(),
                plan="",
                state="",
                created_at=now,
                ended_at=now,
            )
        )
        session.add(PlacementRow(deployment="d", edge="press-1", rollout=2, previous=1, placed_at=now))
    await bench.retention.forget_all()
    assert numbers(bench) == [1, 2, 5, 6]


async def test_files_of_runs_that_are_no_more_go(bench: Bench) -> None:
    """A log that a crash left between its run's row and itself is removed by the next sweep; the others stay."""
    run = ended(bench, bench.job())
    lost = UUID(int=7)
    bench.records.logs.append(lost, 1, first_line=0, lines=["left behind"])
    (bench.folder / "logs" / "lost+found").mkdir()
    await bench.retention.sweep()
    assert {run_id for run_id, _ in bench.records.attempts()} == {run.id}


async def test_marking_sees_one_state_and_holds_up_no_writer(bench: Bench) -> None:
    """While references are read another transaction commits, and what is read does not change by it."""
    bench.queued(bench.job())

    def look(session: object) -> bool:
        before = blob_references(session)  # type: ignore[arg-type]
        bench.queued(bench.job("meanwhile"))  # commits while this transaction is open
        return blob_references(session) == before  # type: ignore[arg-type]

    assert await bench.database.read(look)
    assert len(run_ids(bench)) == 2


async def test_what_is_asked_for_while_it_is_swept_stays(bench: Bench) -> None:
    """A file that is here and unused counts as new once a client asks whether it must be uploaded."""
    old = [bench.blobs.put_bytes(text) for text in (b"asked for", b"not asked for")]
    for ref in old:
        os.utime(bench.blobs.path(ref.digest), (1000, 1000))
    bench.blobs.keep_on(old[0].digest)
    await bench.retention.sweep()
    assert [bench.blobs.has(ref.digest) for ref in old] == [True, False]


async def test_usage_is_summed_over_runs(bench: Bench) -> None:
    """What a job's runs took is added up, and that of all jobs too; skipped runs do not count as runs."""
    jobs = [bench.job("one"), bench.job("two")]
    for job in jobs:
        for _ in range(2):
            run = ended(bench, job)
            with bench.database.transaction() as session:
                row = session.get(RunRow, run.id)
                assert row is not None
                row.cpu_s, row.energy_kwh, row.co2e_kg, row.fetched_bytes, row.cached_bytes = 1.5, 0.25, 0.5, 10, 2**40
                session.add(row)
        ended(bench, job, RunState.SKIPPED)
    with bench.database.transaction() as session:
        one, all_jobs = usage_of(session, job="one"), usage_of_all(session).total
        none = usage_of(session, job="unknown")
    assert one.model_dump() == {
        "runs": 2,
        "cpu_s": 3.0,
        "energy_kwh": 0.5,
        "co2e_kg": 1.0,
        "fetched_bytes": 20,
        "cached_bytes": 2**41,
    }
    assert (all_jobs.runs, all_jobs.cached_bytes) == (4, 2**42)
    assert (none.runs, none.cpu_s) == (0, 0.0)


async def test_the_loop_forgets_when_runs_end_and_sweeps_now_and_then(bench: Bench) -> None:
    """Each end of a run has its job looked at; what nothing names is swept without any."""
    old = bench.blobs.put_bytes(b"old")
    os.utime(bench.blobs.path(old.digest), (1000, 1000))
    retention = Retention(bench.database, bench.blobs, bench.records, first_after_s=3600.0, pause_s=0.0)
    hourly = Retention(bench.database, bench.blobs, bench.records, first_after_s=0.0)
    async with asyncio.TaskGroup() as tasks:
        loops = [tasks.create_task(one.serve()) for one in (retention, hourly)]
        await until(lambda: None if bench.blobs.has(old.digest) else True, "the sweep")
        job = bench.job(keep={"runs": 1})
        runs = [ended(bench, job) for _ in range(3)]
        retention.note(runs[2])
        await until(lambda: True if run_ids(bench) == {runs[2].id} else None, "the older runs to go")
        for loop in loops:
            loop.cancel()


@pytest.mark.parametrize("seed", range(4))
async def test_killed_at_any_moment_nothing_dangles(bench: Bench, seed: int) -> None:
    """A process that makes versions and forgets them is killed: every blob and log that a row names is there."""
    random.seed(seed)
    module = "tests.integration.forgetting_process"
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, str(bench.folder), stdout=PIPE)
    assert process.stdout is not None
    for _ in range(random.randint(3, 60)):
        assert await process.stdout.readline()
    process.kill()
    await process.communicate()
    assert nothing_dangles(bench)
    await bench.retention.forget_all()
    await bench.retention.sweep(young_s=-60)
    assert nothing_dangles(bench)
    assert {run_id for run_id, _ in bench.records.attempts()} <= run_ids(bench)
    assert len(run_ids(bench)) <= 2
