"""What becomes of runs that ended well: versions, models of their own, lineage; also when several come at once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controller.stores.models import aliases, last_of_job, move_alias, resolve
from controller.stores.runs import watermarks
from schemas.broker import BrokerAddress
from schemas.errors import BadInput, NotFound
from schemas.models import MODEL_FILE
from schemas.names import BlobRef
from schemas.runs import Exited, Outcome, Outputs, RunState
from tests.integration.registry_bench import Bench


@pytest.fixture
async def bench(tmp_path: Path, broker: BrokerAddress) -> AsyncIterator[Bench]:
    """A registry that has nothing yet."""
    async with Bench.open(tmp_path, broker) as opened:
        yield opened


def champion(bench: Bench, model: str = "iris") -> int | None:
    """The version of a model that is in use."""
    with bench.database.transaction() as session:
        found = resolve(session, ref=model)
    return found[0].version if found else None


async def test_two_jobs_on_one_model_do_not_disturb_each_other(bench: Bench) -> None:
    """Runs of two jobs that are registered at once all get versions, and each job goes on from its own (defect 25)."""
    jobs = [bench.job("by-day"), bench.job("by-night")]
    runs = []
    for upto in (10, 20):
        for job in jobs:
            left = {"weights.bin": bench.blobs.put_bytes(f"{job.name} {upto}".encode())}
            runs.append(bench.checking(job, additional=left, data=(bench.rows(upto, after=upto - 10),)))
    for pair in (runs[:2], runs[2:]):
        await asyncio.gather(*(bench.registry.register_run(run, bench.supervisor) for run in pair))

    assert [card.version for card in bench.versions()] == [1, 2, 3, 4]
    assert {card.lineage.run_id for card in bench.versions()} == {run.id for run in runs}
    assert champion(bench) == 4
    with bench.database.transaction() as session:
        for job in jobs:
            last = last_of_job(session, job=job.name)
            assert last is not None
            assert last.additional["weights.bin"] == bench.blobs.put_bytes(f"{job.name} 20".encode())
            assert watermarks(session, job=job.name) == {1: {"readings": 20}}


async def test_a_job_makes_models_of_its_own_and_leaves_its_base_alone(bench: Bench) -> None:
    """Without update_existing each run makes a new model with the next free number, and its base stays (defect 26)."""
    await bench.register(bench.checking(bench.job("first")))
    before = bench.versions()
    job = bench.job("own", update_existing=False, gate={"policy": "manual"})
    done = await asyncio.gather(*(bench.register(bench.checking(job)) for _ in range(3)))

    assert sorted(run.model for run in done) == ["iris-1", "iris-2", "iris-3"]
    assert {run.version for run in done} == {1}
    assert [champion(bench, f"iris-{number}") for number in (1, 2, 3)] == [1, 1, 1]
    assert bench.versions() == before
    assert champion(bench) == 1
    bench.job("taken", model="iris-4")  # the name of another job's model is not free
    assert (await bench.register(bench.checking(job))).model == "iris-5"


async def test_a_job_with_its_own_models_goes_on_from_the_last(bench: Bench) -> None:
    """The additional outputs of the newest of its models are those that the job's next run starts from."""
    job = bench.job(update_existing=False)
    for text in (b"one", b"two"):
        await bench.register(bench.checking(job, additional={"w": bench.blobs.put_bytes(text)}))
    with bench.database.transaction() as session:
        last = last_of_job(session, job=job.name)
    assert last is not None
    assert (last.name, last.additional["w"]) == ("iris-2", bench.blobs.put_bytes(b"two"))


async def test_a_success_that_is_handled_twice_at_once_counts_once(bench: Bench) -> None:
    """However often one run is registered at the same moment, it makes one version (defect 13)."""
    run = bench.checking(bench.job())
    await asyncio.gather(*(bench.registry.register_run(run, bench.supervisor) for _ in range(5)))
    assert [card.lineage.run_id for card in bench.versions()] == [run.id]
    assert bench.run(run.id).version == 1


async def test_no_success_before_the_files_are_there(bench: Bench) -> None:
    """A run of which a file is not held is not registered; one that is has all its files (defect 12)."""
    run = bench.checking(bench.job())
    assert run.exited is not None
    assert run.exited.outputs is not None
    lost = BlobRef(digest=f"sha256:{'0' * 64}", size_bytes=5)
    outputs = run.exited.outputs.model_copy(update={"additional": {"w": lost}})
    run = bench.moved(run, exited=Exited(outcome=Outcome.OK, outputs=outputs))
    with pytest.raises(NotFound):
        await bench.registry.register_run(run, bench.supervisor)
    assert bench.run(run.id).state is RunState.CHECKING
    assert bench.versions() == []

    whole = bench.checking(bench.job(), additional={"w": bench.blobs.put_bytes(b"weights")})
    await bench.register(whole)
    (card,) = bench.versions()
    assert all(bench.blobs.has(ref.digest) for ref in (*card.files.values(), *card.additional.values()))


async def test_a_model_without_its_file_is_no_version(bench: Bench) -> None:
    """A run whose model file is not held makes no version, and moves no alias (defect 30)."""
    run = bench.checking(bench.job())
    lost = BlobRef(digest=f"sha256:{'0' * 64}", size_bytes=5)
    run = bench.moved(run, exited=Exited(outcome=Outcome.OK, outputs=Outputs(model=lost)))
    with pytest.raises(NotFound):
        await bench.registry.register_run(run, bench.supervisor)
    assert (bench.run(run.id).state, bench.versions()) == (RunState.CHECKING, [])
    with bench.database.transaction() as session:
        assert aliases(session, model="iris") == []


async def test_curves_are_on_the_card_if_they_came(bench: Bench) -> None:
    """What scripts told of their progress is on the card; if it was lost on its way, the version is there without."""
    job, lost = bench.job(params={"depth": 3}), BlobRef(digest=f"sha256:{'0' * 64}", size_bytes=5)
    told = bench.blobs.put_bytes(b'{"loss":1}\n')
    for progress in (told, lost):
        run = bench.checking(job)
        assert run.exited is not None
        await bench.register(bench.moved(run, exited=run.exited.model_copy(update={"progress": progress})))
    assert [card.curves for card in bench.versions()] == [told, None]
    assert [card.lineage.params for card in bench.versions()] == [{"depth": 3}] * 2


async def test_what_is_no_model_is_no_version(bench: Bench) -> None:
    """A file that is no ONNX model is refused with the reason, and nothing is registered (defect 15)."""
    run = bench.checking(bench.job())
    outputs = Outputs(model=bench.blobs.put_bytes(b"not a model"))
    run = bench.moved(run, exited=Exited(outcome=Outcome.OK, outputs=outputs))
    with pytest.raises(BadInput, match="no valid ONNX model"):
        await bench.registry.register_run(run, bench.supervisor)
    assert bench.versions() == []


async def test_a_card_tells_where_its_version_came_from(bench: Bench) -> None:
    """Data, holdout, scripts, requirements, base and every metric that the scripts gave are on the card."""
    job = bench.job(metrics=["accuracy"])
    run = bench.checking(job, data=(bench.rows(5),), accuracy=0.9, loss=0.1)
    await bench.register(run)
    (card,) = bench.versions()
    assert card.metrics == {"accuracy": 0.9, "loss": 0.1}
    lineage = card.lineage
    assert (lineage.job, lineage.run_id, lineage.base_model) == ("retrain", run.id, "base:7")
    assert (lineage.data, lineage.holdout) == (run.data, run.holdout)
    assert lineage.scripts == {"train.py": job.scripts[0].blob}
    assert lineage.requirements == bench.blobs.put_bytes(b"numpy\n")


async def test_a_reproduction_changes_nothing_but_the_history(bench: Bench) -> None:
    """A version that reproduces a run is registered, not promoted, not gone on from, and moves no watermark."""
    job = bench.job()
    first = await bench.register(bench.checking(job, data=(bench.rows(5),)))
    await bench.register(bench.checking(job, data=(bench.rows(9, after=5),)))
    promotions = len(bench.promotions)
    again = await bench.register(bench.checking(job, data=(bench.rows(99),), replays=first.id))

    assert again.state is RunState.SUCCEEDED
    assert "reproduces" in again.reason
    assert bench.versions()[2].lineage.reproduces == first.id
    assert champion(bench) == 2
    assert len(bench.promotions) == promotions
    with bench.database.transaction() as session:
        assert watermarks(session, job=job.name) == {1: {"readings": 9}}
        last = last_of_job(session, job=job.name)
    assert last is not None
    assert last.version == 2


async def test_an_alias_knows_where_one_would_go_back_to(bench: Bench) -> None:
    """Moving an alias keeps what it stood for before; moving it to where it is forgets nothing."""
    job = bench.job()
    for _ in range(3):
        await bench.register(bench.checking(job))

    def stands() -> tuple[int, int | None]:
        with bench.database.transaction() as session:
            (alias,) = aliases(session, model="iris")
            return alias.version, alias.previous

    assert stands() == (3, 2)
    for version, expected in ((1, (1, 3)), (1, (1, 3)), (3, (3, 1))):
        with bench.database.transaction() as session:
            move_alias(session, model="iris", alias="champion", version=version, reason="by hand", now=bench.clock())
        assert stands() == expected


async def test_the_file_of_a_version_is_what_the_scripts_made(bench: Bench) -> None:
    """The version's model is byte for byte the one that its own run left, not an earlier one's (defect 15)."""
    job = bench.job()
    runs = [bench.checking(job) for _ in range(2)]
    for run in runs:
        await bench.register(run)
    made = [run.exited.outputs.model for run in runs if run.exited and run.exited.outputs]
    assert [card.files[MODEL_FILE] for card in bench.versions()] == made
    assert made[0] != made[1]
