"""Runs from a device's rows to a registered version, and how they fail."""

import asyncio
from pathlib import Path

import pytest

from schemas.runs import RunState
from tests.e2e.world import READINGS, World, job, until


async def test_rows_become_a_version(world: World) -> None:
    """Rows from MQTT are trained on by an edge, which logs each step; the version's card tells where it came from."""
    agent = await world.add_edge()
    await world.apply(READINGS, job())
    await world.publish(range(10))
    run = await world.until_ended(await world.run_job())
    assert (run.state, run.version, run.metrics, run.rows) == (RunState.SUCCEEDED, 1, {"accuracy": 0.5}, 10)
    model = world.client.model("tiny")
    (card,) = model.versions
    assert model.aliases[0].name == "champion"
    assert (card.rows, card.lineage.run_id, card.lineage.edge) == (10, run.id, "press-1")
    assert card.signature.inputs[0].dtype == "tensor(float)"
    assert world.client.logs(run.id).lines[-2:] == ("10 rows, 0 seen before", "done")
    told = [line.split("task moved ")[1] for line in agent.log.read_text().splitlines() if "task moved " in line]
    states = "preparing", "running", "finished outcome=ok reason="
    assert told[:3] == [f"task={run.id}-1 state={state}".rstrip() for state in states]


async def test_nothing_new_is_no_training(world: World) -> None:
    """A run without new rows is skipped with the collection's name, and makes no version."""
    await world.add_edge()
    await world.apply(READINGS, job())
    await world.publish(range(3))
    await world.until_state(await world.run_job(), RunState.SUCCEEDED)
    again = await world.until_ended(await world.run_job())
    assert again.state is RunState.SKIPPED
    assert again.reason == "there were no new entries in collection readings since the last training"
    assert world.versions() == [1]


FAULTS = {
    "script": (RunState.FAILED, "train.py ended with exit code 3"),
    "model": (RunState.FAILED, "nothing was written to model_file_path"),
    "metric": (RunState.FAILED, "accuracy"),
    "onnx": (RunState.FAILED, "no valid ONNX model"),
    "symlink": (RunState.FAILED, "passwords"),
}


async def test_a_failure_has_a_reason_and_harms_no_later_run(world: World) -> None:
    """Each fault ends its run with the reason and the log's tail; the rows are trained on by the next good run.

    (defects 3, 15, 18)
    """
    await world.add_edge()
    await world.apply(READINGS, job())
    await world.publish(range(5))
    for fault, (state, reason) in FAULTS.items():
        await world.apply(job(params={"fault": fault}))
        run = await world.until_ended(await world.run_job())
        assert (run.state, run.version) == (state, None), fault
        assert reason in run.reason, fault
        assert "5 rows, 0 seen before" in run.log_tail, fault
    await world.apply(job())
    good = await world.until_ended(await world.run_job())
    assert (good.state, good.rows, world.versions()) == (RunState.SUCCEEDED, 5, [1])


async def test_a_script_that_takes_too_long_is_ended(world: World, tmp_path: Path) -> None:
    """The job's wall time gives TIMED_OUT, and nothing of the script runs on (defect 17)."""
    await world.add_edge()
    await world.apply(READINGS, job(params={"until": str(tmp_path / "never")}, limits={"timeout_s": 2}))
    await world.publish(range(2))
    run = await world.until_ended(await world.run_job())
    assert run.state is RunState.TIMED_OUT
    assert "2 s" in run.reason
    assert world.scripts() == []


async def test_a_failed_script_is_tried_again_where_the_job_says_so(world: World, tmp_path: Path) -> None:
    """Each attempt starts clean from the same frozen rows, and the log of the failed ones is kept (defect 18)."""
    await world.add_edge()
    needed = tmp_path / "needed"
    retry = {"on": ["script_failed"], "max_attempts": 100, "backoff": "0.1s", "backoff_cap": "0.2s"}
    await world.apply(READINGS, job(params={"needs": str(needed)}, retry=retry))
    await world.publish(range(5))
    run_id = await world.run_job()
    await until(lambda: world.client.run(run_id).attempt >= 3 or None, "the third attempt")
    await world.publish(range(5, 8))  # not for this run: its rows are frozen
    needed.touch()
    run = await world.until_state(run_id, RunState.SUCCEEDED)
    assert (world.versions(), world.trained_on(1)) == ([1], list(range(5)))
    kept = {path.name for path in (world.folder / "tidemill-data" / "logs").glob(f"{run_id}-*.log")}
    assert kept == {f"{run_id}-{attempt}.log" for attempt in range(1, run.attempt + 1)}


async def test_no_attempt_left_ends_the_run(world: World) -> None:
    """The last of several failures ends the run, and says how many there were."""
    await world.add_edge()
    retry = {"on": ["script_failed"], "max_attempts": 2, "backoff": "0.1s"}
    await world.apply(READINGS, job(params={"fault": "script"}, retry=retry))
    await world.publish(range(5))
    run = await world.until_ended(await world.run_job())
    assert (run.state, run.attempt) == (RunState.FAILED, 2)
    assert run.reason.endswith("it was attempt 2 of 2")


async def test_new_rows_come_once_and_all_of_them(world: World) -> None:
    """Over five rounds, with rows arriving all the while, each run is given exactly those after the one before.

    (defects 1, 2, 3)
    """
    await world.add_edge()
    await world.apply(READINGS, job())
    stop = asyncio.Event()

    async def device() -> int:
        number = 0
        async with world.device() as link:
            while not stop.is_set():
                await link.publish("plant/a/readings", b'{"id": %d}' % number)
                number += 1
        return number

    publishing = asyncio.create_task(device())
    for _ in range(5):
        await world.until_rows(world.client.collection("readings").rows + 20)
        await world.until_state(await world.run_job(), RunState.SUCCEEDED)
    stop.set()
    published = await publishing
    await world.until_rows(published)
    await world.until_state(await world.run_job(), RunState.SUCCEEDED)
    rounds = [world.trained_on(version) for version in world.versions()]
    assert len(rounds) == 6
    assert [row for given in rounds for row in given] == list(range(published))


@pytest.mark.docker
async def test_docker_does_the_same(world: World) -> None:
    """The same script, isolated in a container: rows become a version, and a fault has its reason.

    The image is on the version's card by digest, and the log of the failed run is kept. (defect 17)
    """
    await world.add_edge(executor="docker", image="tidemill-training:bookworm")
    await world.apply(READINGS, job())
    await world.publish(range(10))
    run = await world.until_ended(await world.run_job())
    assert (run.state, run.version, run.executor) == (RunState.SUCCEEDED, 1, "docker"), run.reason
    assert world.client.model("tiny").versions[0].lineage.image_digest.startswith("sha256:")
    await world.publish(range(10, 12))
    await world.apply(job(params={"fault": "symlink"}))
    bad = await world.until_ended(await world.run_job())
    assert (bad.state, bad.version) == (RunState.FAILED, None)
    assert "2 rows, 10 seen before" in world.client.logs(bad.id).lines


async def test_a_run_says_that_its_edge_is_away(world: World) -> None:
    """While the edge of a running task is offline, run and job say so; once back, it ends well."""
    agent = await world.add_edge()
    go_on = world.folder / "go-on"
    holdout = {"query": "SELECT id FROM readings", "fraction": 0.5}
    await world.apply(READINGS, job(params={"until": str(go_on)}, holdout=holdout, min_rows=1))
    await world.publish(range(20))
    run_id = await world.run_job()
    await world.until_state(run_id, RunState.RUNNING)
    assert world.client.run(run_id).reason == "its scripts run on press-1"
    agent.kill()
    away = "its scripts run on press-1; press-1 is offline since "
    await until(lambda: world.client.run(run_id).reason.startswith(away) or None, "the run to say so")
    assert away in world.client.job("retrain").why
    assert world.client.runs(job="retrain")[0].reason.startswith(away)
    agent.start()
    await until(lambda: "offline" not in world.client.run(run_id).reason or None, "the edge to be back")
    go_on.touch()
    run = await world.until_ended(run_id)
    assert run.holdout is not None
    assert (run.state, run.rows + run.holdout.rows) == (RunState.SUCCEEDED, 20)
