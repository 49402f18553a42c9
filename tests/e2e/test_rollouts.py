"""Edges are moved to a new version a few at a time, and back when it does not do; whoever is killed meanwhile."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from schemas.deployment_views import ChangeView, DeploymentView
from schemas.errors import Conflict
from schemas.rollouts import EdgeState, RolloutState
from tests.e2e.world import World, until
from tests.onnx_graphs import misfit, times

SCORING: dict[str, object] = {
    "kind": "Pipeline",
    "name": "scoring",
    "nodes": [
        {"id": "in", "type": "mqtt_sub", "topic": "plant/ask"},
        {"id": "predict", "type": "model", "model": "tiny", "features": ["a", "b"], "inputs": ["in"]},
        {"id": "out", "type": "mqtt_pub", "topic": "plant/answer", "inputs": ["predict"]},
    ],
}
EDGES = ("press-1", "press-2", "press-3")


def deployed(**rollout: object) -> dict[str, object]:
    """A deployment to every edge of the hall, by this plan."""
    return {"kind": "Deployment", "name": "here", "labels": {"hall": "2"}, "pipeline": "scoring", "rollout": rollout}


async def hall(world: World, **rollout: object) -> None:
    """Three edges in a hall, on which the first version answers."""
    for number, name in enumerate(EDGES):
        await world.add_edge(name, labels={"hall": "2", "line": str(10 - number)})
    await version(world, 2.0)
    await world.apply(SCORING, deployed())
    await until_done(world, 1)
    await world.apply(deployed(**rollout))  # another plan alone moves nobody


async def version(world: World, factor: float, *, fits: bool = True) -> None:
    """A new version of the model becomes the champion; one that does not fit fails every message."""
    path = world.folder / f"tiny-{factor}.onnx"
    file = times(path, factor) if fits else misfit(path)
    await world.apply({"kind": "Model", "name": "tiny", "file": file.name})
    newest = await asyncio.to_thread(lambda: world.client.model("tiny").versions[0].version)
    await asyncio.to_thread(world.client.move_alias, "tiny", "champion", newest, f"factor {factor}")


async def until_state(world: World, number: int, *states: RolloutState) -> DeploymentView:
    """Wait until a rollout is in one of these states."""

    def look() -> DeploymentView | None:
        found = world.client.deployment("here")
        return (
            found if found.rollout and (found.rollout.number, found.rollout.state in states) == (number, True) else None
        )

    return await until(look, f"rollout {number} to be {' or '.join(states)}")


async def until_done(world: World, number: int) -> DeploymentView:
    """Wait until a rollout is done, and every edge has it."""
    await until_state(world, number, RolloutState.DONE)

    def look() -> DeploymentView | None:
        found = world.client.deployment("here")
        return found if all(edge.state is EdgeState.DEPLOYED for edge in found.edges.values()) else None

    return await until(look, "every edge to have it")


async def lines(world: World, *kinds: str) -> list[ChangeView]:
    """The lines of the timeline about the deployment, oldest first."""
    found = await asyncio.to_thread(world.client.timeline, subject="deployment here", most=500)
    return [line for line in reversed(found) if line.kind in kinds]


@asynccontextmanager
async def questions(world: World) -> AsyncIterator[list[float]]:
    """A device that asks, and the factors of the answers as they come: each edge gives one."""
    answers: list[float] = []
    async with world.device() as link:
        subscription = await link.subscribe("plant/answer", qos=1)

        async def ask() -> None:
            while True:
                await link.publish("plant/ask", b'{"a": 1, "b": 1}')
                await asyncio.sleep(0.02)

        async def hear() -> None:
            async for message in subscription:  # each at once: who asks looks at them meanwhile
                answers.append(json.loads(message.payload)[0][0])  # noqa: PERF401

        tasks = [asyncio.create_task(ask(), name="ask"), asyncio.create_task(hear(), name="hear")]
        try:
            yield answers
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def test_batches_wait_for_each_other(world: World) -> None:
    """In the order of a label, each edge is changed when the one before it has it: the timeline shows it."""
    await hall(world, strategy="batches", batch=1, order_by="line")
    await version(world, 3.0)
    done = await until_done(world, 2)
    assert {name: edge.models for name, edge in done.edges.items()} == {name: {"tiny": 2} for name in EDGES}
    assert done.rollout is not None
    assert done.rollout.cause == "tiny 1 → 2"
    told = [(line.kind, line.edge) for line in await lines(world, "placed", "deployed")][-6:]
    order = [(kind, edge) for edge in reversed(EDGES) for kind in ("placed", "deployed")]
    assert told == order


async def test_a_canary_that_fails_messages_is_aborted_by_itself(world: World) -> None:
    """It goes back to the version before, nobody else ever had it, and answers go on."""
    await hall(world, strategy="canary", bake="1h", abort_on={"failed": 0.1, "min_messages": 10})
    async with questions(world) as answers:
        await until(lambda: len(answers) > 10 or None, "answers")
        await version(world, 3.0, fits=False)
        aborted = await until_state(world, 2, RolloutState.ABORTED)
        assert aborted.rollout is not None
        assert "on press-1 " in aborted.rollout.reason
        assert "messages failed, which is more than 10.0%" in aborted.rollout.reason
        back = await until_done_after_abort(world)
        count = len(answers)
        await until(lambda: len(answers) > count + 30 or None, "answers after the return")
    assert set(answers) == {2.0}
    assert {edge.rollout for edge in back.edges.values()} == {1}
    assert {line.edge for line in await lines(world, "placed") if "rollout 2" in line.what} == {"press-1"}
    assert (await asyncio.to_thread(world.client.deployment, "here")).models == {"tiny": 2}  # it stays aborted

    await version(world, 4.0)  # and what is promoted next is another matter
    await until_state(world, 3, RolloutState.BAKING)


async def until_done_after_abort(world: World) -> DeploymentView:
    """Wait until every edge has what it had before."""

    def look() -> DeploymentView | None:
        found = world.client.deployment("here")
        return found if all(edge.state is EdgeState.DEPLOYED for edge in found.edges.values()) else None

    return await until(look, "every edge to be back")


async def test_a_controller_that_is_killed_goes_on_with_its_rollout(world: World) -> None:
    """At any moment of it: each edge is changed once, in order, and it ends."""
    await hall(world, strategy="batches", batch=1, order_by="line")
    await version(world, 3.0)
    for _ in range(3):
        await world.restart_controller()
    done = await until_done(world, 2)
    assert {edge.rollout for edge in done.edges.values()} == {2}
    placed = [line.edge for line in await lines(world, "placed") if line.what == "rollout 2"]
    assert placed == list(reversed(EDGES))


async def test_people_approve_pause_resume_abort_and_roll_back(world: World) -> None:
    """Each order does what it says, is refused where it makes no sense, and is in the timeline with its reason."""
    await hall(world, strategy="canary", approve="after_canary", order_by="line")
    order = world.client.order
    with pytest.raises(Conflict, match="has nothing to go back to"):
        await asyncio.to_thread(order, "here", "rollback")
    await version(world, 3.0)
    waiting = await until_state(world, 2, RolloutState.WAITING)
    assert [name for name, edge in waiting.edges.items() if edge.rollout == 2] == ["press-3"]
    with pytest.raises(Conflict, match="is not under way: it is waiting"):
        await asyncio.to_thread(order, "here", "pause")
    await asyncio.to_thread(order, "here", "approve", "it looks fine")
    await until_done(world, 2)
    await asyncio.to_thread(order, "here", "rollback", "customers complain")
    back = await until_done(world, 3)
    assert {name: edge.models for name, edge in back.edges.items()} == {name: {"tiny": 1} for name in EDGES}
    assert back.models == {"tiny": 2}  # what the alias stands for: it is followed when it moves again
    await version(world, 4.0)
    await until_state(world, 4, RolloutState.WAITING)
    aborted = await asyncio.to_thread(order, "here", "abort", "not today")
    assert aborted.rollout is not None
    assert (aborted.rollout.state, aborted.rollout.reason) == (RolloutState.ABORTED, "not today")
    again = await until_done_after_abort(world)
    assert {edge.rollout for edge in again.edges.values()} == {3}
    told = [(line.what, line.cause) for line in await lines(world, "rollout") if line.by == "a person"]
    assert told == [
        ("2 approved by a person", "it looks fine"),
        ("3 begins, back to rollout 1: customers complain", "customers complain"),
        ("4 aborted by a person", "not today"),
    ]


async def test_an_edge_that_comes_gets_what_the_others_have(world: World, tmp_path: Path) -> None:
    """One that is given the label, and one that is enrolled with it; one that loses it lets go."""
    del tmp_path
    await hall(world)
    await world.add_edge("press-4", labels={"hall": "2"})
    await until(lambda: "press-4" in world.client.deployment("here").edges or None, "it to be meant")
    await until_done(world, 1)
    await asyncio.to_thread(world.client.label_edge, "press-1", {"hall": "3"})

    def gone() -> bool | None:
        report = world.client.edge("press-1").report
        return True if report is not None and not report.pipelines else None

    await until(gone, "press-1 to let go")
    assert "press-1" not in (await asyncio.to_thread(world.client.deployment, "here")).edges
