"""Models from end to end: bases that change between runs, and versions on their way to every edge that holds them."""

import asyncio
import hashlib

from schemas.models import ModelVersion
from schemas.runs import RunState
from tests.e2e.world import READINGS, World, job, until
from tests.onnx_graphs import times


async def based_on(world: World, base: str, *, factor: float) -> None:
    """Upload a version of a base model, and have the job train from that model."""
    times(world.folder / "base.onnx", factor)
    model: dict[str, object] = {"kind": "Model", "name": base, "file": "base.onnx"}
    query = {"query": "SELECT id, value FROM readings"}
    await world.apply(READINGS, model, job(base_model=base, queries=[query]))


async def trained(world: World) -> ModelVersion:
    """The version that a run makes now; its script was given what ``based_on`` uploaded last."""
    run = await world.until_state(await world.run_job(), RunState.SUCCEEDED)
    given = hashlib.sha256((world.folder / "base.onnx").read_bytes()).hexdigest()
    assert f"base {given}" in (await asyncio.to_thread(world.client.logs, run.id)).lines
    cards = (await asyncio.to_thread(world.client.model, "tiny")).versions
    return next(card for card in cards if card.version == run.version)


async def test_a_job_follows_its_base_model(world: World) -> None:
    """A run is given its base's newest champion, never a stale file (defect 22), and another base once that is named.

    A file that replaces another is a version of its own (defect 28).
    Naming another base breaks nothing: the job goes on from what its own last version left (defect 21).
    """
    await world.add_edge()
    await world.apply(READINGS)
    await world.publish(range(3))
    await based_on(world, "base", factor=1.0)
    first = await trained(world)
    await based_on(world, "base", factor=2.0)
    await asyncio.to_thread(world.client.move_alias, "base", "champion", 2, "better")
    assert [first.lineage.base_model, (await trained(world)).lineage.base_model] == ["base:1", "base:2"]
    await based_on(world, "other", factor=3.0)
    third = await trained(world)
    assert (third.lineage.base_model, third.lineage.base_version) == ("other:1", 2)
    assert third.additional["seen.json"].size_bytes > first.additional["seen.json"].size_bytes


async def test_a_version_reaches_every_edge_that_holds_its_model(world: World) -> None:
    """What one edge trained is fetched by another one, which had no part in the run, as soon as it is in use."""
    await world.add_edge("press-1")
    await world.add_edge("press-2")
    deployment: dict[str, object] = {"kind": "Deployment", "name": "d", "edges": ["press-2"], "model": "tiny"}
    await world.apply(READINGS, job("press-1"), deployment)
    await world.publish(range(3))
    await world.until_state(await world.run_job(), RunState.SUCCEEDED)

    def held() -> bool | None:
        report = world.client.edge("press-2").report
        return True if report and [(model.name, model.version) for model in report.models] == [("tiny", 1)] else None

    await until(held, "press-2 to hold the version")
