"""What is uploaded is asked beside the champion on live messages first, and takes its place by what it answered."""

import asyncio

import onnx

from schemas.gates import GateResult
from tests.e2e.test_rollouts import SCORING, deployed, questions, until_done
from tests.e2e.world import World, until
from tests.onnx_graphs import times

GATE: dict[str, object] = {"trial": {"messages": 60, "disagreement": 0.0}}


async def upload(world: World, factor: float, note: str) -> int:
    """Another version, which may answer just as one before."""
    model = onnx.load(times(world.folder / "made.onnx", factor))
    model.doc_string = note
    onnx.save(model, world.folder / f"{note}.onnx")
    await world.apply({"kind": "Model", "name": "tiny", "gate": GATE, "file": f"{note}.onnx"})
    return world.versions()[-1]


async def newest(world: World, version: int) -> GateResult:
    """What was decided of it last."""
    return (await asyncio.to_thread(world.client.gate, "tiny", version))[0]


async def until_tried(world: World, version: int) -> GateResult:
    """Wait until it is not on trial any more."""

    def look() -> GateResult | None:
        found = world.client.gate("tiny", version)[0]
        return found if found.trial is None else None

    return await until(look, f"the trial of version {version} to end")


async def test_a_candidate_is_tried_on_live_messages_before_it_answers(world: World) -> None:
    """One that answers otherwise is held, one that answers alike takes over, though the controller was killed."""
    for name in ("press-1", "press-2"):
        await world.add_edge(name, labels={"hall": "2"})
    assert await upload(world, 2.0, "first") == 1
    await world.apply(SCORING, {**deployed(), "shadow": {"model": "tiny", "with": "tiny@candidate"}})
    await until_done(world, 1)
    async with questions(world) as answers:
        other = await upload(world, 3.0, "other")
        pending = await newest(world, other)
        assert (pending.decision, pending.trial is not None) == ("hold", True)
        held = await until_tried(world, other)
        assert held.decision == "hold"
        assert "100.00% of its answers differ, and 0.00% are allowed" in held.reason

        alike = await upload(world, 2.0, "alike")
        await world.restart_controller()
        promoted = await until_tried(world, alike)
        assert promoted.decision == "promote"
        assert "beside version 1" in promoted.reason
        (champion,) = [one for one in world.client.model("tiny").aliases if one.name == "champion"]
        assert champion.version == alike
        done = await until_done(world, world.client.deployment("here").rollout.number)  # type: ignore[union-attr]
        assert {name: edge.models for name, edge in done.edges.items()} == {
            "press-1": {"tiny": alike},
            "press-2": {"tiny": alike},
        }
        count = len(answers)
        await until(lambda: len(answers) > count + 20 or None, "answers of the new champion")
    assert set(answers) == {2.0}  # no shadow has answered anybody
