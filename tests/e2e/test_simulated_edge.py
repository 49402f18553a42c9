"""The simulated edges of the benchmarks speak as agents do."""

import tomllib
from pathlib import Path

from schemas.runs import RunState
from tests.e2e.world import READINGS, World, job
from tests.fakes import Manner, SimulatedEdge


async def test_a_simulated_edge_brings_runs_to_their_versions(world: World, tmp_path: Path) -> None:
    """Two runs of a simulated edge each succeed once, with a model of its own and the whole log."""
    enrolled = world.client.add_edge("press-1", {})
    key = tomllib.loads(enrolled.agent_config)["controller_public_key"]
    await world.apply(READINGS, job())
    manner = Manner(task_s=0.1)
    async with SimulatedEdge.running("press-1", world.broker.address, key, tmp_path / "crowd", manner):
        await world.until_online()
        for count in (1, 2):
            await world.publish(range(count * 10, count * 10 + 10))
            run = await world.until_state(await world.run_job(), RunState.SUCCEEDED)
            assert (run.version, run.attempt) == (count, 1)
            assert list(world.client.logs(run.id).lines) == ["training", f"done: {run.id}"]
    first, second = world.client.model("tiny").versions
    assert first.files["model.onnx"].digest != second.files["model.onnx"].digest
