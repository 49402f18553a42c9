"""Jobs that are edited and deleted while they, or others beside them, are at work."""

from pathlib import Path

from schemas.runs import RunState
from tests.e2e.world import READINGS, World, job, until


def tasks_taken(world: World, edge: str) -> set[str]:
    """The runs of which an edge has ever had the task, by its own log."""
    log = (world.folder / f"{edge}.log").read_text()
    return {str(run.id) for run in world.client.runs() if str(run.id) in log}


async def test_another_edge_gets_everything_from_the_next_run_on(world: World, tmp_path: Path) -> None:
    """Once its edge is another one, a job's rows, files and runs all go there, and none to the former (defect 20).

    The run that was going on ends well where it is, and the next one builds upon it.
    """
    for name in ("press-1", "press-2"):
        await world.add_edge(name)
    started, go_on = tmp_path / "started", tmp_path / "go on"
    await world.apply(READINGS, job("press-1", params={"started": str(started), "until": str(go_on)}))
    await world.publish(range(5))
    first = await world.run_job()
    await until(lambda: started.exists() or None, "the script to start")
    await world.apply(job("press-2"))
    go_on.touch()
    assert (await world.until_state(first, RunState.SUCCEEDED)).edge == "press-1"
    await world.publish(range(5, 8))
    second = await world.until_state(await world.run_job(), RunState.SUCCEEDED)
    assert (second.edge, second.attempt, world.trained_on(2)) == ("press-2", 1, [5, 6, 7])
    assert "3 rows, 5 seen before" in world.client.logs(second.id).lines
    assert tasks_taken(world, "press-1") == {str(first)}
    assert tasks_taken(world, "press-2") == {str(second.id)}


async def test_a_run_that_waits_goes_where_its_job_goes_now(world: World) -> None:
    """A run that waited for an edge that is gone is done by the one that its job names now, on its rows (defect 20)."""
    await world.add_edge("press-1", start=False)
    await world.add_edge("press-2")
    await world.apply(READINGS, job("press-1"))
    await world.publish(range(5))
    run_id = await world.run_job()
    await until(lambda: "press-1" in world.client.run(run_id).reason or None, "it to wait for its edge")
    await world.publish(range(5, 8))
    await world.apply(job("press-2"))
    run = await world.until_state(run_id, RunState.SUCCEEDED)
    assert (run.edge, run.attempt, world.trained_on(1)) == ("press-2", 1, list(range(5)))
    world.edges["press-1"].start()
    await world.until_online("press-1")
    assert (await world.until_state(await world.run_job(), RunState.SUCCEEDED)).edge == "press-2"
    assert tasks_taken(world, "press-1") == set()


async def test_deleting_a_job_ends_nothing_of_another_on_its_edge(world: World, tmp_path: Path) -> None:
    """Two jobs train on one edge; one is deleted: its script ends, the other's goes on to its version (defect 23)."""
    await world.add_edge(max_tasks=2)
    places = {name: tmp_path / name for name in ("gone", "stays")}
    go_on = tmp_path / "go on"
    params: dict[str, dict[str, object]] = {
        name: {"started": str(place), "until": str(go_on)} for name, place in places.items()
    }
    await world.apply(READINGS, *(job(name=name, model=name, params=params[name]) for name in places))
    await world.publish(range(5))
    runs = {name: await world.run_job(name) for name in places}
    for place in places.values():
        await until(lambda: place.exists() or None, "the script to start")  # noqa: B023
    assert len(world.scripts()) == 2
    world.client.delete_job("gone", cancel=True)
    await until(lambda: len(world.scripts()) == 1 or None, "one script to end")
    assert world.client.run(runs["gone"]).state is RunState.CANCELLED
    go_on.touch()
    done = await world.until_state(runs["stays"], RunState.SUCCEEDED)
    assert (done.attempt, world.versions("stays"), world.versions("gone")) == (1, [1], [])
    assert world.trained_on(1, "stays") == list(range(5))
    again = await world.until_ended(await world.run_job("stays"))
    assert (again.state, "no new entries" in again.reason) == (RunState.SKIPPED, True)
