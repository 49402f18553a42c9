"""A bad version on many edges: the rollout is aborted by itself, and everybody answers with the old one."""

import asyncio
import tomllib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from schemas.manifest import WantedPipeline
from schemas.rollouts import RolloutState
from tests.e2e.test_rollouts import (
    EDGES,
    SCORING,
    deployed,
    hall,
    lines,
    questions,
    until_done,
    until_done_after_abort,
    until_state,
    version,
)
from tests.e2e.world import World, until
from tests.fakes import Fault, Manner, SimulatedEdge

CROWD = 200
FAULTS: dict[int, Fault] = {3: "load", 4: "slow", 5: "failing"}
"""What is wrong with each version of the model, on every third simulated edge."""


def fault(edge: str, pipeline: WantedPipeline) -> Fault:
    """What is wrong with a version on an edge."""
    return FAULTS.get(pipeline.models["tiny"].version, "") if int(edge.removeprefix("edge-")) % 3 == 0 else ""


@asynccontextmanager
async def crowd(world: World, folder: Path) -> AsyncIterator[None]:
    """Simulated edges of the same hall, which come after the real ones in every order."""
    async with AsyncExitStack() as stack:
        for number in range(CROWD):
            labels = {"hall": "2", "line": str(100 + number)}
            enrolled = await asyncio.to_thread(world.client.add_edge, f"edge-{number}", labels)
            key: str = tomllib.loads(enrolled.agent_config)["controller_public_key"]
            edge = SimulatedEdge.running(
                f"edge-{number}", world.broker.address, key, folder / f"edge-{number}", Manner(fault=fault)
            )
            await stack.enter_async_context(edge)
        yield


@pytest.mark.slow
async def test_bad_versions_are_taken_back_from_two_hundred_edges(world: World, tmp_path: Path) -> None:
    """One that fails messages on real edges, and three that on some do not load, are slow, or fail messages.

    Each time the rest of the edges never gets it, all are back on the old version, and no answer fails after that.
    """
    limits = {"failed": 0.1, "p95": "500ms", "min_messages": 10}
    plan = deployed(strategy="batches", batch="5%", order_by="line", bake="1s", abort_on=limits)
    await hall(world)
    async with crowd(world, tmp_path / "crowd"), questions(world) as answers:
        await until(lambda: len(world.client.deployment("here").edges) == CROWD + len(EDGES) or None, "all to be meant")
        await until_done(world, 1)
        await world.apply(SCORING, plan)
        for number, factor in enumerate([3.0, 4.0, 5.0, 6.0], start=2):
            await version(world, factor, fits=number > 2)
            aborted = await until_state(world, number, RolloutState.ABORTED)
            assert aborted.rollout is not None
            back = await until_done_after_abort(world)
            assert {edge.rollout for edge in back.edges.values()} == {1}
            changed = {line.edge for line in await lines(world, "placed") if line.what == f"rollout {number}"}
            assert len(EDGES) <= len(changed) <= 0.2 * CROWD
            assert set(EDGES) <= changed
            await _no_answer_fails(world, answers)
        told = [one.reason for one in await asyncio.to_thread(world.client.rollouts, "here")]
    assert told[3].startswith("on press-")
    assert "messages failed, which is more than 10.0%" in told[3]
    assert "it went back by itself: it does not load" in told[2]
    assert "messages take 2 s (p95), which is more than 0.5 s" in told[1]
    assert "50 of 100 messages failed, which is more than 10.0%" in told[0]


async def _no_answer_fails(world: World, answers: list[float]) -> None:
    """The next messages are answered on each real edge, with the old version."""

    def failed() -> int:
        pipelines = world.client.pipeline("scoring").edges
        return sum(pipelines[name].failed for name in EDGES)

    before, count = await asyncio.to_thread(failed), len(answers)
    await until(lambda: len(answers) > count + 100 or None, "answers after the return")
    assert set(answers[count:]) <= {2.0, 4.0, 5.0, 6.0}
    assert set(answers[-30:]) == {2.0}
    assert await asyncio.to_thread(failed) == before
