"""Jobs that any of several edges may do."""

import asyncio
import random
import signal
from pathlib import Path

from schemas.runs import RunState
from tests.e2e.world import READINGS, World, job, until

HALL = {"zone": "hall-2"}


def anywhere(**changes: object) -> dict[str, object]:
    """The job, for any edge of hall 2."""
    return {**job(), "edge": None, "edge_labels": HALL, **changes}


async def test_edges_with_the_labels_share_the_work(world: World, tmp_path: Path) -> None:
    """Two jobs go to two edges at once, a third waits with the reason, and no other edge is asked."""
    for name in ("press-1", "press-2"):
        await world.add_edge(name, labels=HALL)
    await world.add_edge("oven-1", labels={"zone": "hall-3"})
    go_on = tmp_path / "go on"
    names = ["one", "two", "three"]
    await world.apply(READINGS, *(anywhere(name=name, model=name, params={"until": str(go_on)}) for name in names))
    await world.publish(range(5))
    first, second = [await world.run_job(name) for name in names[:2]]
    runs = [await world.until_state(run_id, RunState.RUNNING) for run_id in (first, second)]
    assert sorted(run.edge for run in runs) == ["press-1", "press-2"]
    third = await world.run_job("three")
    await until(lambda: "2 edges have zone=hall-2" in world.client.run(third).reason or None, "the reason to wait")
    told = world.client.run(third).reason
    assert "press-1 is busy with 1 of 1 tasks" in told
    assert "oven-1" not in told
    go_on.touch()
    for run_id in (first, second, third):
        assert (await world.until_ended(run_id)).state is RunState.SUCCEEDED


async def test_a_run_waits_for_a_label(world: World) -> None:
    """A run that no edge fits goes to one as soon as that is given the label."""
    await world.add_edge("press-1", labels={"line": "7"})
    await world.apply(READINGS, anywhere())
    await world.publish(range(5))
    run_id = await world.run_job()
    await until(lambda: "no edge has zone=hall-2" in world.client.run(run_id).reason or None, "the reason to wait")
    await asyncio.to_thread(world.client.label_edge, "press-1", {"line": "7", **HALL})
    assert (await world.until_ended(run_id)).edge == "press-1"


async def test_the_most_urgent_goes_first(world: World, tmp_path: Path) -> None:
    """When an edge has room again, the run of the highest priority is next, though it came last."""
    await world.add_edge()
    go_on = tmp_path / "go on"
    names = ["first", "low", "middle", "high"]
    ranks = [100, -1, 0, 1]
    await world.apply(
        READINGS,
        *(
            job(name=name, model=name, priority=rank, params={"until": str(go_on)})
            for name, rank in zip(names, ranks, strict=True)
        ),
    )
    await world.publish(range(5))
    runs = {}
    for name in names:
        runs[name] = await world.run_job(name)
        if name == "first":
            await world.until_state(runs[name], RunState.RUNNING)
        else:
            await until(lambda: "is busy" in world.client.run(runs[name]).reason or None, "it to wait")  # noqa: B023
    go_on.touch()
    ended = {name: await world.until_ended(run_id) for name, run_id in runs.items()}
    assert {run.state for run in ended.values()} == {RunState.SUCCEEDED}
    started = {name: run.started_at for name, run in ended.items() if run.started_at is not None}
    assert sorted(started, key=lambda name: started[name]) == ["first", "high", "middle", "low"]


async def test_another_edge_takes_over_and_the_first_counts_no_more(world: World, tmp_path: Path) -> None:
    """An edge that falls silent is replaced; when it is back with a finished task, the other's result is the run's."""
    for name in ("press-1", "press-2"):
        await world.add_edge(name, labels=HALL)
    started, go_on = tmp_path / "started", tmp_path / "go on"
    params: dict[str, object] = {"started": str(started), "until": str(go_on)}
    patience: dict[str, object] = {"silence": {"lost_after": "2s"}, "retry": {"backoff": "0.1s"}}
    await world.apply(READINGS, anywhere(params=params, **patience))
    await world.publish(range(5))
    run_id = await world.run_job()
    await until(lambda: started.exists() or None, "the first attempt to train")
    first = world.client.run(run_id).edge
    world.edges[first].kill()

    def replaced() -> bool | None:
        run = world.client.run(run_id)
        return (run.attempt, run.state) == (2, RunState.RUNNING) or None

    await until(replaced, "another edge to take over")
    assert len(world.scripts()) == 2
    go_on.touch()
    await until(lambda: not world.scripts() or None, "both scripts to end")
    world.edges[first].start()
    run = await world.until_state(run_id, RunState.SUCCEEDED)
    assert (run.attempt, run.edge != first, world.versions()) == (2, True, [1])

    def forgotten() -> bool | None:
        report = world.client.edge(first).report
        return (report is not None and not report.tasks) or None

    await until(forgotten, "the first attempt to be forgotten")
    assert world.versions() == [1]


async def test_an_edge_that_hangs_is_replaced(world: World, tmp_path: Path) -> None:
    """An agent that does nothing more while the broker still calls it online is not found again, but replaced."""
    for name in ("press-1", "press-2"):
        await world.add_edge(name, labels=HALL)
    started, go_on = tmp_path / "started", tmp_path / "go on"
    params: dict[str, object] = {"started": str(started), "until": str(go_on)}
    patience: dict[str, object] = {"silence": {"lost_after": "5s"}, "retry": {"backoff": "0.1s"}}
    await world.apply(READINGS, anywhere(params=params, **patience))
    await world.publish(range(5))
    run_id = await world.run_job()
    await until(lambda: started.exists() or None, "the first attempt to train")
    first = world.client.run(run_id).edge
    world.edges[first].send(signal.SIGSTOP)
    await until(lambda: world.client.run(run_id).attempt == 2 or None, "another edge to take over")
    assert world.client.edge(first).online
    go_on.touch()
    run = await world.until_state(run_id, RunState.SUCCEEDED)
    assert (run.attempt, run.edge != first, world.versions()) == (2, True, [1])


async def test_edges_killed_at_random_lose_and_repeat_nothing(world: World) -> None:
    """Over eight runs with an edge killed and started at random moments: eight versions, each row trained on once."""
    dice = random.Random(20261120)
    for name in ("press-1", "press-2"):
        await world.add_edge(name, labels=HALL)
    patience: dict[str, object] = {
        "silence": {"lost_after": "1.5s"},
        "retry": {"backoff": "0.1s", "max_attempts": 20},
    }
    await world.apply(READINGS, anywhere(**patience))
    for round_number in range(8):
        await world.publish(range(round_number * 5, round_number * 5 + 5))
        run_id = await world.run_job()
        await _pass_looks(world, dice.randrange(20))
        victim = world.edges[dice.choice(["press-1", "press-2"])]
        victim.kill()
        await _pass_looks(world, dice.randrange(100))
        victim.start()
        await world.until_state(run_id, RunState.SUCCEEDED)
    assert world.versions() == list(range(1, 9))
    assert [row for version in world.versions() for row in world.trained_on(version)] == list(range(40))


async def _pass_looks(world: World, number: int) -> None:
    """Let so many answers of the controller pass."""
    for _ in range(number):
        await asyncio.to_thread(world.client.edges)
