"""What people see of a run while it goes on, from the script's own words to the answers of the API."""

from pathlib import Path

from schemas.runs import RunState
from tests.e2e.world import READINGS, World, job, until


async def test_log_and_progress_are_there_while_the_script_runs(world: World, tmp_path: Path) -> None:
    """The API has a line and a point before the script goes on; when it has ended both are whole, and its use told."""
    go = tmp_path / "go"
    await world.add_edge()
    await world.apply(READINGS, job(params={"until": str(go)}))
    await world.publish(range(3))
    run_id = await world.run_job()
    await until(lambda: "3 rows, 0 seen before" in world.client.logs(run_id).lines or None, "the first line")
    await until(lambda: world.client.progress(run_id).points or None, "the first point")
    assert world.client.run(run_id).state is RunState.RUNNING
    go.touch()
    run = await world.until_ended(run_id)
    assert run.state is RunState.SUCCEEDED
    assert world.client.logs(run_id).lines[-2:] == ("3 rows, 0 seen before", "done")
    page = world.client.progress(run_id)
    assert (page.points, page.complete) == (({"step": 1, "rows": 3},), True)
