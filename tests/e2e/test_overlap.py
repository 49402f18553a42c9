"""A job's run that is due while an earlier one goes on."""

import asyncio
from pathlib import Path

import pytest

from schemas.runs import RunState
from tests.e2e.world import READINGS, World, job, until


@pytest.fixture
async def training(world: World, tmp_path: Path) -> Path:
    """An edge with room for several tasks; scripts train until the file that this gives is there."""
    await world.add_edge(max_tasks=4)
    return tmp_path / "go on"


async def apply(world: World, go_on: Path, overlap: object) -> None:
    """The job, whose scripts tell that they have started and then wait."""
    params: dict[str, object] = {"started": str(go_on.with_name("started")), "until": str(go_on)}
    await world.apply(READINGS, job(params=params, overlap=overlap))


async def test_skipped_while_one_goes_on(world: World, training: Path) -> None:
    """With overlap skip a second run is refused with the reason, and the first is not disturbed (defect 16)."""
    await apply(world, training, "skip")
    await world.publish(range(5))
    first = await world.run_job()
    await world.until_state(first, RunState.RUNNING)
    second = await world.until_ended(await world.run_job())
    assert (second.state, str(first) in second.reason) == (RunState.SKIPPED, True)
    training.touch()
    assert (await world.until_ended(first)).state is RunState.SUCCEEDED
    assert world.trained_on(1) == list(range(5))


async def test_queued_runs_go_one_after_the_other(world: World, training: Path) -> None:
    """Each of the waiting runs selects its rows when its turn has come: none is trained on twice, none left out."""
    await apply(world, training, {"policy": "queue", "most": 2})
    await world.publish(range(5))
    first = await world.run_job()
    await world.until_state(first, RunState.RUNNING)
    waiting = [await world.run_job() for _ in range(2)]
    for run_id in waiting:
        await until(lambda: f"waits for run {first}" in world.client.run(run_id).reason or None, "it to wait")  # noqa: B023
    refused = await world.until_ended(await world.run_job())
    assert (refused.state, "2 runs wait" in refused.reason) == (RunState.SKIPPED, True)
    await world.publish(range(5, 8))
    training.touch()
    second = await world.until_ended(waiting[0])
    third = await world.until_ended(waiting[1])
    assert (second.state, third.state) == (RunState.SUCCEEDED, RunState.SKIPPED)
    assert "no new entries" in third.reason
    assert [world.trained_on(version) for version in world.versions()] == [list(range(5)), list(range(5, 8))]


async def test_a_newer_run_takes_the_place_of_the_older(world: World, training: Path) -> None:
    """With cancel_previous the older run's script ends, and the newer one trains on its rows and those since."""
    await apply(world, training, "cancel_previous")
    await world.publish(range(5))
    first = await world.run_job()
    await until(lambda: training.with_name("started").exists() or None, "the first script to start")
    (pid,) = world.scripts()
    await world.publish(range(5, 8))
    second = await world.run_job()
    assert (await world.until_ended(first)).state is RunState.CANCELLED
    await until(lambda: pid not in world.scripts() or None, "the first script to end")
    training.touch()
    assert (await world.until_ended(second)).state is RunState.SUCCEEDED
    assert (world.versions(), world.trained_on(1)) == ([1], list(range(8)))


async def test_a_controller_killed_between_turns_forgets_none(world: World, training: Path) -> None:
    """Runs that wait for their turn are found again by the next controller, and go on in their order."""
    await apply(world, training, "queue")
    await world.publish(range(5))
    first = await world.run_job()
    await world.until_state(first, RunState.RUNNING)
    second = await world.run_job()
    await until(lambda: "waits for run" in world.client.run(second).reason or None, "the second to wait")
    world.controller.kill()
    training.touch()
    await until(lambda: not world.scripts() or None, "the first script to end")
    world.controller.start()
    await world.until_ready()
    ended = await asyncio.gather(world.until_ended(first), world.until_ended(second))
    assert [run.state for run in ended] == [RunState.SUCCEEDED, RunState.SKIPPED]
