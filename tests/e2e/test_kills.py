"""What survives when daemons are killed at the worst moments: each run's result is committed once."""

import json
import random
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest

from schemas.runs import RunState
from tests.e2e.world import READINGS, TRAINING_IMAGE, World, job, until


async def assert_one_version(world: World, rows: range) -> None:
    """One version came of the one run, trained on exactly these rows, and nothing is left to train on."""
    assert world.versions() == [1]
    assert world.trained_on(1) == list(rows)
    assert (await world.until_ended(await world.run_job())).state is RunState.SKIPPED


async def train_until(world: World, file: Path) -> UUID:
    """A run on five rows whose script has started, and waits for a file."""
    started = file.with_name("started")
    await world.apply(READINGS, job(params={"started": str(started), "until": str(file)}))
    await world.publish(range(5))
    run_id = await world.run_job()
    await until(lambda: started.exists() or None, "the script to start")
    return run_id


async def test_controller_killed_while_queued(world: World) -> None:
    """A run that waits for an edge that never came still waits, with its reason, after the controller's death.

    (defect 11)
    """
    await world.add_edge(start=False)
    await world.apply(READINGS, job())
    await world.publish(range(5))
    run_id = await world.run_job()
    await until(lambda: "offline" in world.client.run(run_id).reason or None, "the reason to wait")
    await world.restart_controller()
    assert world.client.run(run_id).state is RunState.QUEUED
    world.edges["press-1"].start()
    await world.until_state(run_id, RunState.SUCCEEDED)
    await assert_one_version(world, range(5))


async def test_controller_killed_while_dispatched(world: World) -> None:
    """A run that its edge has not accepted yet is accepted after the controller's death, once."""
    edge = await world.add_edge()
    await world.apply(READINGS, job())
    await world.publish(range(5))
    edge.send(signal.SIGSTOP)
    run_id = await world.run_job()
    await world.until_state(run_id, RunState.DISPATCHED)
    await world.restart_controller()
    edge.send(signal.SIGCONT)
    assert (await world.until_state(run_id, RunState.SUCCEEDED)).attempt == 1
    await assert_one_version(world, range(5))


async def test_controller_killed_while_running(world: World, tmp_path: Path) -> None:
    """Training goes on without the controller; what it tells meanwhile is told again."""
    await world.add_edge()
    go_on = tmp_path / "go on"
    run_id = await train_until(world, go_on)
    world.controller.kill()
    go_on.touch()
    await until(lambda: not world.scripts() or None, "the script to end")
    world.controller.start()
    await world.until_ready()
    assert (await world.until_state(run_id, RunState.SUCCEEDED)).attempt == 1
    await assert_one_version(world, range(5))


@pytest.mark.parametrize("state", [RunState.PREPARING, RunState.UPLOADING, RunState.CHECKING])
async def test_controller_killed_in_a_short_state(world: World, state: RunState) -> None:
    """Killed at the first sight of a state that passes quickly, the run still ends well, once."""
    await world.add_edge()
    await world.apply(READINGS, job(params={"megabytes": 50}))
    await world.publish(range(5))
    run_id = await world.run_job()
    await world.until_state(run_id, state, *_after(state))
    await world.restart_controller()
    assert (await world.until_state(run_id, RunState.SUCCEEDED)).attempt == 1
    await assert_one_version(world, range(5))


def _after(state: RunState) -> list[RunState]:
    order = list(RunState)
    return order[order.index(state) : order.index(RunState.SUCCEEDED) + 1]


async def test_controller_killed_at_random(world: World) -> None:
    """Over ten runs with a kill at a random moment of each: ten versions, each row trained on once."""
    dice = random.Random(20261120)
    await world.add_edge()
    await world.apply(READINGS, job())
    for round_number in range(10):
        await world.publish(range(round_number * 5, round_number * 5 + 5))
        run_id = await world.run_job()
        looks = dice.randrange(30)  # of 20 ms each or more

        def look(left: list[int] = [looks]) -> bool | None:  # noqa: B006 - counts this round's looks down
            left[0] -= 1
            return left[0] < 0 or None

        await until(look, "the moment to kill")
        await world.restart_controller()
        await world.until_state(run_id, RunState.SUCCEEDED)
    assert world.versions() == list(range(1, 11))
    assert [row for version in world.versions() for row in world.trained_on(version)] == list(range(50))


@pytest.mark.parametrize("executor", [pytest.param("process"), pytest.param("docker", marks=pytest.mark.docker)])
async def test_agent_killed_while_training(world: World, executor: str) -> None:
    """The restarted agent adopts the container or process that went on without it: one start, one version."""
    edge = await world.add_edge(executor=executor, image=TRAINING_IMAGE)
    await world.apply(READINGS, job(params={"seconds": 4}))
    await world.publish(range(5))
    run_id = await world.run_job()
    await until(lambda: "second 0" in world.client.logs(run_id).lines or None, "the script's first second")
    edge.kill()
    edge.start()
    run = await world.until_state(run_id, RunState.SUCCEEDED)
    assert run.attempt == 1
    log = world.client.logs(run_id).lines
    assert [line for line in log if line.startswith("second")] == [f"second {number}" for number in range(4)]
    await assert_one_version(world, range(5))


async def test_broker_killed_while_outputs_travel(world: World) -> None:
    """A broker that dies and comes back empty delays a run, and nothing more."""
    await world.add_edge()
    await world.apply(READINGS, job(params={"megabytes": 200}))
    await world.publish(range(5))
    run_id = await world.run_job()
    await world.until_state(run_id, RunState.UPLOADING, RunState.CHECKING, RunState.SUCCEEDED)
    world.broker.kill()
    world.broker.start()
    assert (await world.until_state(run_id, RunState.SUCCEEDED)).attempt == 1
    await assert_one_version(world, range(5))


@pytest.mark.parametrize("rebooted", [False, True])
async def test_results_finished_offline_are_delivered(world: World, tmp_path: Path, rebooted: bool) -> None:
    """An edge that loses the broker while it trains goes on, and its result counts when it is back (defect 11).

    Also when it was started again meanwhile.
    """
    edge = await world.add_edge()
    go_on = tmp_path / "go on"
    run_id = await train_until(world, go_on)
    world.broker.kill()
    go_on.touch()
    await until(lambda: "exited" in waiting_to_be_told(world) or None, "the end to be written down")
    if rebooted:
        edge.kill()
        edge.start()
    world.broker.start()
    assert (await world.until_state(run_id, RunState.SUCCEEDED)).attempt == 1
    await assert_one_version(world, range(5))


def waiting_to_be_told(world: World, edge: str = "press-1") -> set[str]:
    """The kinds of events that an edge has not been able to tell yet."""
    with closing(sqlite3.connect(world.folder / f"{edge}-data" / "journal.sqlite")) as journal:
        bodies = journal.execute("SELECT body FROM outbox").fetchall()
    return {json.loads(body)["event"]["kind"] for (body,) in bodies}


@pytest.mark.slow
async def test_a_long_outage_of_the_broker_ends_nobody(world: World, tmp_path: Path) -> None:
    """Without a broker for longer than any publish waits, both daemons go on, and the run ends well when it is back."""
    await world.add_edge()
    go_on = tmp_path / "go on"
    run_id = await train_until(world, go_on)
    world.broker.kill()
    go_on.touch()
    await world.add_edge("press-2", start=False)
    log = world.controller.log
    await until(lambda: "manifest is published later" in log.read_text() or None, "a publish to be given up")
    world.broker.start()
    assert (await world.until_state(run_id, RunState.SUCCEEDED)).attempt == 1
    await assert_one_version(world, range(5))


async def test_cancel_of_a_run_that_waits_for_its_edge(world: World) -> None:
    """A run whose edge never came is cancelled at once, and its edge is never asked to do it (defect 19)."""
    edge = await world.add_edge(start=False)
    await world.apply(READINGS, job())
    await world.publish(range(5))
    run_id = await world.run_job()
    await until(lambda: "offline" in world.client.run(run_id).reason or None, "the reason to wait")
    assert world.client.cancel_run(run_id).state is RunState.CANCELLED
    edge.start()
    await world.until_online()
    assert (await world.until_ended(await world.run_job())).state is RunState.SUCCEEDED
    assert (world.versions(), world.trained_on(1)) == ([1], list(range(5)))


async def test_cancel_while_outputs_travel(world: World) -> None:
    """A run whose outputs are on their way has no version yet; cancelled then, it makes none, and its edge forgets it.

    (defect 12)
    """
    await world.add_edge()
    await world.apply(READINGS, job(params={"megabytes": 200}))
    await world.publish(range(5))
    run_id = await world.run_job()
    assert (await world.until_state(run_id, RunState.UPLOADING)).version is None
    assert world.versions() == []
    assert world.client.cancel_run(run_id).state is RunState.CANCELLED

    def forgotten() -> bool | None:
        report = world.client.edge("press-1").report
        return (report is not None and not report.tasks) or None

    await until(forgotten, "the edge to forget the task")
    await world.apply(job())
    await world.until_state(await world.run_job(), RunState.SUCCEEDED)
    await assert_one_version(world, range(5))


@pytest.mark.parametrize("online", [True, False])
async def test_cancel_ends_the_task(world: World, tmp_path: Path, online: bool) -> None:
    """A cancelled run's script is gone within 10 s of the edge knowing, also when it was away then (defect 19)."""
    edge = await world.add_edge()
    run_id = await train_until(world, tmp_path / "never")
    if not online:
        edge.kill()
        await world.until_online(online=False)
    assert world.client.cancel_run(run_id).state is RunState.CANCELLED
    if not online:
        edge.start()
        await world.until_online()
    await until(lambda: not world.scripts() or None, "the script to end", timeout_s=10)
    await world.apply(job())
    await world.until_state(await world.run_job(), RunState.SUCCEEDED)
    await assert_one_version(world, range(5))
