"""Whom an edge believes, and who is believed: keys are changed, edges are revoked, enrolled again and removed."""

import asyncio
import signal
import tomllib
from collections.abc import Callable

import pytest

from schemas.errors import Conflict, NotFound
from schemas.manifest import Manifest
from schemas.runs import RunState
from schemas.topics import MANIFEST
from schemas.views import EdgeView
from tests.e2e.world import READINGS, World, job, until
from transport.mqtt import connect
from transport.signing import SigningKey

PIPELINE: dict[str, object] = {
    "kind": "Pipeline",
    "name": "echo",
    "nodes": [
        {"id": "in", "type": "mqtt_sub", "topic": "asks"},
        {"id": "out", "type": "mqtt_pub", "topic": "answers", "inputs": ["in"]},
    ],
}


def _deployed(*edges: str) -> dict[str, object]:
    return {"kind": "Deployment", "name": "here", "edges": list(edges), "pipeline": "echo"}


async def _until_edge(world: World, what: str, look: Callable[[EdgeView], bool], name: str = "press-1") -> EdgeView:
    def see() -> EdgeView | None:
        edge = world.client.edge(name)
        return edge if look(edge) else None

    return await until(see, f"{name} {what}")


async def _until_listening(world: World, name: str = "press-1") -> None:
    await _until_edge(
        world,
        "to listen",
        lambda edge: edge.report is not None and any(one.state == "listening" for one in edge.report.pipelines),
        name,
    )


async def test_a_key_is_changed_while_an_edge_is_away(world: World) -> None:
    """Edges learn a new key from the one before, also later; what the retired one signs, nobody takes any more."""
    there, away = await world.add_edge("press-1"), await world.add_edge("press-2")
    stolen = SigningKey.load_or_create(world.folder / "tidemill-data" / "signing_key.pem")
    away.send(signal.SIGTERM)
    await world.until_online("press-2", online=False)
    newest, older = await asyncio.to_thread(world.client.rotate_key)
    assert (newest.state, older.id) == ("newest", stolen.key_id)
    await _until_edge(world, "to trust it", lambda edge: edge.report is not None and newest.id in edge.report.trusts)
    await until(lambda: world.client.keys()[0].edges == ("press-1",) or None, "press-1 to be signed for with it")
    with pytest.raises(Conflict, match="press-2 do not trust a newer key yet"):
        await asyncio.to_thread(world.client.retire_key, older.id)
    away.kill()
    away.start()
    await until(lambda: world.client.keys()[0].edges == ("press-1", "press-2") or None, "press-2 to follow")
    await asyncio.to_thread(world.client.retire_key, older.id)
    await _until_edge(
        world, "to forget it", lambda edge: edge.report is not None and edge.report.trusts == (newest.id,)
    )
    before = (await asyncio.to_thread(world.client.edge, "press-1")).report
    session = before.session_id if before else ""
    there.kill()  # its configuration names the old key still
    there.start()
    back = await _until_edge(
        world, "to be back", lambda edge: edge.online and edge.report is not None and edge.report.session_id != session
    )
    generation = back.generation
    async with connect(world.broker.address, "thief") as thief:
        forged = stolen.sign(Manifest(edge="press-1", generation=generation + 1000))
        await thief.publish(MANIFEST.to(edge="press-1"), forged.model_dump_json().encode(), retain=True)
        refused = await _until_edge(
            world, "to refuse it", lambda edge: edge.report is not None and "which we trust" in edge.report.refused
        )
    assert refused.report is not None
    assert refused.report.generation < generation + 1000


async def test_a_revoked_edge_lets_go_of_everything(world: World) -> None:
    """Its pipelines and tasks end, and its runs wait; the controller remembers; enrolled again it is welcome."""
    await world.add_edge()
    await world.apply(READINGS, job(params={"until": str(world.folder / "never")}), PIPELINE, _deployed("press-1"))
    await world.publish(range(3))
    run_id = await world.run_job()
    await world.until_state(run_id, RunState.RUNNING)
    await _until_listening(world)
    revoked = await asyncio.to_thread(world.client.revoke_edge, "press-1", "stolen from the hall")
    assert revoked.revoked_at is not None
    assert revoked.report is not None
    assert revoked.report.pipelines == ()
    await until(lambda: world.scripts() == [] or None, "its script to end")
    await until(lambda: "press-1 is revoked" in world.client.run(run_id).reason or None, "its run to wait for another")
    (line,) = [one for one in world.client.timeline(edge="press-1") if one.kind == "revoked"]
    assert line.cause == "stolen from the hall"

    await world.restart_controller()  # who remembers
    assert (await asyncio.to_thread(world.client.edge, "press-1")).revoked_at is not None
    again = await asyncio.to_thread(world.client.re_enrol_edge, "press-1")
    assert again.edge.revoked_at is None
    assert tomllib.loads(again.agent_config)["edge"] == "press-1"
    await _until_listening(world)  # this broker asks for no password


async def test_an_edge_is_removed_when_nothing_names_it(world: World) -> None:
    """What names it is told; afterwards nothing is left of it but the timeline, and its name can be given again."""
    edge = await world.add_edge()
    await world.apply(PIPELINE, _deployed("press-1"))
    with pytest.raises(Conflict, match="named by deployment here"):
        await asyncio.to_thread(world.client.remove_edge, "press-1")
    assert (await asyncio.to_thread(world.client.edge, "press-1")).revoked_at is None
    await asyncio.to_thread(world.client.delete_deployment, "here")
    await asyncio.to_thread(world.client.remove_edge, "press-1")
    with pytest.raises(NotFound):
        await asyncio.to_thread(world.client.edge, "press-1")
    edge.kill()
    assert await world.add_edge("press-1") is not edge
    kinds = {line.kind for line in await asyncio.to_thread(world.client.timeline, edge="press-1")}
    assert {"revoked", "removed"} <= kinds
