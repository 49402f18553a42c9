"""What pipelines collect on an edge comes to the controller, also when that dies or was away."""

import json
from collections import Counter

from schemas.report import PipelineState
from tests.e2e.world import World, until

PREDICTIONS: dict[str, object] = {
    "kind": "Collection",
    "name": "predictions",
    "columns": {"number": "integer", "line": "text"},
}
KEEPING: dict[str, object] = {
    "kind": "Pipeline",
    "name": "keeping",
    "nodes": [
        {"id": "in", "type": "mqtt_sub", "topic": "plant/{line}/reading"},
        {
            "id": "keep",
            "type": "collect",
            "collection": "predictions",
            "inputs": ["in"],
            "columns": {"number": "id", "line": "line"},
        },
    ],
}
DEPLOYMENT: dict[str, object] = {"kind": "Deployment", "name": "keeping", "pipeline": "keeping", "edges": ["press-1"]}


async def test_rows_outlive_a_controller_that_is_killed_and_away(world: World) -> None:
    """Collected before, while it is away, and after it is back: every row is there once."""
    await world.add_edge()
    await world.apply(PREDICTIONS, KEEPING, DEPLOYMENT)

    def listening() -> bool | None:
        status = world.client.pipeline("keeping").edges.get("press-1")
        return True if status is not None and status.state is PipelineState.LISTENING else None

    async def send(numbers: range) -> None:
        async with world.device() as device:
            for number in numbers:
                await device.publish("plant/a/reading", json.dumps({"id": number}).encode())

    async def until_there(count: int) -> None:
        await until(lambda: world.client.collection("predictions").rows >= count or None, f"{count} rows")

    await until(listening, "the pipeline to listen")
    await send(range(100))
    await until_there(1)
    world.controller.kill()
    await send(range(100, 300))
    world.controller.start()
    await world.until_ready()
    await until_there(300)
    await world.restart_controller()
    await send(range(300, 400))
    await until_there(400)
    rows = world.client.rows("predictions", limit=1000)
    assert Counter(row["number"] for row in rows) == Counter(range(400))
    assert {row["line"] for row in rows} == {"a"}
