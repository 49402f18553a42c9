"""Attempts and generations: what is given up counts for nothing, and what is restored from a backup goes on."""

import shutil
from pathlib import Path

import pytest

from schemas.runs import RunState
from tests.e2e.world import READINGS, World, job, kill_what_uses, until


@pytest.mark.parametrize("task_survives", [True, False])
async def test_an_edge_that_was_silent_too_long(world: World, tmp_path: Path, task_survives: bool) -> None:
    """An edge that is back with its task goes on with it; one that has lost it starts a new attempt; one version."""
    edge = await world.add_edge()
    started, go_on = tmp_path / "started", tmp_path / "go on"
    waiting = job(
        params={"started": str(started), "until": str(go_on)}, silence={"lost_after": "2s"}, retry={"backoff": "0.1s"}
    )
    await world.apply(READINGS, waiting)
    await world.publish(range(5))
    run_id = await world.run_job()
    await until(lambda: started.exists() or None, "the first attempt to train")
    edge.kill()
    waits = await world.until_state(run_id, RunState.QUEUED)
    assert waits.attempt == 1
    if not task_survives:
        kill_what_uses(world.folder / "press-1-data")
        shutil.rmtree(world.folder / "press-1-data")
    go_on.touch()
    edge.start()
    run = await world.until_state(run_id, RunState.SUCCEEDED)
    assert (run.attempt, world.versions()) == (1 if task_survives else 2, [1])


async def test_an_edge_with_a_wiped_disk_starts_a_new_attempt_at_once(world: World, tmp_path: Path) -> None:
    """Back within its lease but without the task, an edge does not do the same attempt again: the next one begins."""
    edge = await world.add_edge()
    started, go_on = tmp_path / "started", tmp_path / "go on"
    params: dict[str, object] = {"started": str(started), "until": str(go_on)}
    await world.apply(READINGS, job(params=params, retry={"backoff": "0.1s"}))
    await world.publish(range(5))
    run_id = await world.run_job()
    await until(lambda: started.exists() or None, "the first attempt to train")
    await world.until_state(run_id, RunState.RUNNING)
    edge.kill()
    kill_what_uses(world.folder / "press-1-data")
    shutil.rmtree(world.folder / "press-1-data")
    go_on.touch()
    edge.start()
    run = await world.until_state(run_id, RunState.SUCCEEDED)
    assert (run.attempt, world.versions(), world.trained_on(1)) == (2, [1], list(range(5)))


async def test_a_job_may_wait_for_its_edge_however_long(world: World, tmp_path: Path) -> None:
    """With silence.replace false no other edge is asked, and the attempt counts when its edge is back."""
    labels = {"zone": "hall-2"}
    for name in ("press-1", "press-2"):
        await world.add_edge(name, labels=labels)
    started, go_on = tmp_path / "started", tmp_path / "go on"
    params: dict[str, object] = {"started": str(started), "until": str(go_on)}
    silence = {"lost_after": "2s", "replace": False}
    await world.apply(READINGS, {**job(params=params, silence=silence), "edge": None, "edge_labels": labels})
    await world.publish(range(5))
    run_id = await world.run_job()
    await until(lambda: started.exists() or None, "the attempt to train")
    first = world.client.run(run_id).edge
    world.edges[first].kill()
    await until(lambda: "its attempt 1 is waited for" in world.client.run(run_id).reason or None, "it to wait")
    go_on.touch()
    await until(lambda: not world.scripts() or None, "the script to end")
    world.edges[first].start()
    run = await world.until_state(run_id, RunState.SUCCEEDED)
    assert (run.attempt, run.edge, world.versions()) == (1, first, [1])


async def test_the_last_attempt_lost_ends_the_run_and_its_rows_stay_new(world: World, tmp_path: Path) -> None:
    """With no attempt left the run is LOST with its reason, and the next run trains on the same rows.

    (defects 11, 18)
    """
    edge = await world.add_edge()
    started = tmp_path / "started"
    params: dict[str, object] = {"started": str(started), "until": str(tmp_path / "never")}
    await world.apply(READINGS, job(params=params, silence={"lost_after": "2s"}, retry={"max_attempts": 1}))
    await world.publish(range(5))
    run_id = await world.run_job()
    await until(lambda: started.exists() or None, "the attempt to train")
    edge.kill()
    run = await world.until_ended(run_id)
    assert run.state is RunState.LOST
    assert "silent" in run.reason
    await world.apply(job())
    edge.start()
    await world.until_state(await world.run_job(), RunState.SUCCEEDED)
    assert world.trained_on(1) == list(range(5))


async def test_a_controller_restored_from_a_backup_is_still_obeyed(world: World) -> None:
    """Generations go on beyond what the edge has seen, though the restored database knows earlier ones only."""
    await world.add_edge()
    await world.apply(READINGS, job())
    await world.publish(range(5))
    await world.until_state(await world.run_job(), RunState.SUCCEEDED)
    data, backup = world.folder / "tidemill-data", world.folder / "backup"
    world.controller.kill()
    shutil.copytree(data, backup)
    world.controller.start()
    await world.until_ready()
    for first in (5, 10):
        await world.publish(range(first, first + 5))
        await world.until_state(await world.run_job(), RunState.SUCCEEDED)
    world.controller.kill()
    shutil.rmtree(data)
    backup.rename(data)
    world.controller.start()
    await world.until_ready()
    await world.publish(range(100, 105))
    run = await world.until_state(await world.run_job(), RunState.SUCCEEDED)
    assert (run.version, world.trained_on(2)) == (2, list(range(100, 105)))
