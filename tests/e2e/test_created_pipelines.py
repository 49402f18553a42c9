"""A pipeline that is made for a model with one command, on a live edge."""

import asyncio
import json
import re

from schemas.report import PipelineState
from schemas.runs import RunState
from tests.e2e.world import READINGS, World, job, until
from tests.integration.command import tidemill


async def test_a_created_pipeline_answers_at_once(world: World) -> None:
    """What `model create-pipeline` makes of a trained model takes its features, runs on the edge, and answers.

    Deleted, it ends there (defect 32).
    """
    await world.add_edge()
    await world.apply(READINGS, job())
    await world.publish(range(5))
    await world.until_state(await world.run_job(), RunState.SUCCEEDED)
    done = await asyncio.to_thread(
        tidemill, "model", "create-pipeline", "tiny", "--deploy", "press-1", home=world.folder, **access(world)
    )
    assert done.returncode == 0, done.stderr
    assert "features: id, value (the columns with numbers" in done.stderr
    await until(lambda: listening(world), "the pipeline to listen")
    async with world.device() as link:
        answers = await link.subscribe("tiny/write")
        await link.publish("tiny/read", json.dumps({"id": 2, "value": 3, "more": "is no matter"}).encode())
        async with asyncio.timeout(20):
            assert json.loads((await anext(answers)).payload) == [[10.0, 15.0]]
    deleted = await asyncio.to_thread(world.client.delete_pipeline, "tiny_pipeline", undeploy=True)
    assert (deleted.deployments, deleted.edges) == (("tiny_pipeline",), ("press-1",))
    await until(lambda: True if runs_nothing(world) else None, "the edge to end it")


def access(world: World) -> dict[str, str]:
    """What the command needs to know of the controller."""
    token = re.search(r"tm_\S+", world.controller.log.read_text())
    assert token is not None
    return {"TIDEMILL_URL": world.url, "TIDEMILL_TOKEN": token[0]}


def runs_nothing(world: World) -> bool:
    """Whether the edge reports no pipeline any more."""
    report = world.client.edge("press-1").report
    return report is not None and not report.pipelines


def listening(world: World) -> bool | None:
    """Whether the edge reports that it answers."""
    status = world.client.pipeline("tiny_pipeline").edges.get("press-1")
    return True if status is not None and status.state is PipelineState.LISTENING else None
