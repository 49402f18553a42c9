"""A canary: a secret that reaches its script, and nothing and nobody else."""

import asyncio
import base64
import hashlib
import json
import sqlite3
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from edge_agent.execution.secret_folder import memory_folder
from schemas.runs import RunState
from tests.e2e.world import READINGS, TRAINING_IMAGE, World, job, until
from transport.mqtt import connect

CANARY = "c4nary-in-the-mill"
TELLING: dict[str, Any] = {
    "scripts": ["tell.py", "train.py"],
    "secrets": [{"secret": "canary", "variable": "CANARY"}, {"secret": "canary", "file": "the canary.txt"}],
    "variables": {"PLACE": "hall 3"},
}


@asynccontextmanager
async def all_traffic(world: World) -> "AsyncIterator[list[bytes]]":
    """Every topic and payload that goes over the broker during the block."""
    heard: list[bytes] = []
    async with connect(world.broker.address, "listener") as link:
        messages = await link.subscribe("#", queue_size=100_000)

        async def listen() -> None:
            async for message in messages:
                heard.append(message.topic.encode() + b" " + message.payload)  # noqa: PERF401 - it is read meanwhile

        listening = asyncio.create_task(listen())
        yield heard
        listening.cancel()


async def prepare(world: World, **edge: Any) -> None:
    """An edge, the secret, and a job that uses it."""
    world.client.set_secret("canary", CANARY.encode())
    await world.add_edge(**edge)
    script = Path(__file__).with_name("telling_script.py").read_bytes()
    (world.folder / "tell.py").write_bytes(script)
    await world.apply(READINGS, job(**TELLING))
    await world.publish(range(3))


async def until_it_waits(world: World, run_id: UUID) -> Path:
    """Wait until the script has told all that it tells; returns the attempt's folder."""
    await world.until_state(run_id, RunState.RUNNING)
    await until(lambda: "waiting" in world.client.logs(run_id).lines or None, "the script's last words")
    return world.folder / f"press-1-data/tasks/{run_id}-1"


def told_by_the_script(world: World) -> dict[str, str]:
    """What the script wrote of what it got."""
    (card,) = world.client.model("tiny").versions
    digits = card.additional["told.json"].digest.removeprefix("sha256:")
    (blob,) = (world.folder / "tidemill-data/blobs").rglob(digits)
    told: dict[str, str] = json.loads(blob.read_text())
    return told


def files_with_the_canary(world: World) -> list[Path]:
    """Files below the controller's and the agent's folders, and logs of the daemons, that hold the value."""
    files = [path for path in world.folder.rglob("*") if path.is_file()]
    assert len(files) > 20
    return [path for path in files if CANARY.encode() in path.read_bytes()]


def answers_with_the_canary(world: World, run_id: UUID) -> list[str]:
    """Routes of the API whose answer holds the value."""
    token = world.controller.log.read_text().split("tm_")[1].split()[0]
    routes = [
        *("jobs", "jobs/retrain", "runs", f"runs/{run_id}", f"runs/{run_id}/logs", "secrets", "edges", "edges/press-1"),
        *("models", "models/tiny", "collections", "collections/readings", "deployments", "broker"),
    ]
    found = []
    with httpx.Client(base_url=world.url, headers={"Authorization": f"Bearer tm_{token}"}) as http:
        for route in (*(f"/api/v1/{route}" for route in routes), "/openapi.json", "/metrics", "/readyz"):
            answer = http.get(route).raise_for_status()
            found += [route] if CANARY in answer.text else []
    return found


async def check_that_nobody_else_got_it(world: World, run_id: UUID, heard: list[bytes]) -> None:
    """The script had the value, in both forms; the log masks it; no file, answer or message holds it."""
    digest = hashlib.sha256(CANARY.encode()).hexdigest()
    assert told_by_the_script(world) == {"variable": digest, "file": digest, "place": "hall 3"}
    lines = world.client.logs(run_id).lines
    assert "the value is ••••, and nothing else" in lines
    assert f"encoded: {base64.b64encode(CANARY.encode()).decode()}" in lines  # not promised, and shown to be printed
    assert "RuntimeError: cannot log in with ••••" in lines
    assert lines.count("••••") == 1  # what came in pieces
    assert answers_with_the_canary(world, run_id) == []
    assert files_with_the_canary(world) == []
    assert any(str(run_id).encode() in message and b'\\"secrets\\":{' in message for message in heard)
    assert [message for message in heard if CANARY.encode() in message] == []
    memory = memory_folder(world.folder / "press-1-data")
    assert memory is not None
    await until(lambda: not memory.exists() or None, "the opened secrets to be removed")


async def test_a_secret_reaches_its_script_alone(world: World) -> None:
    """As processes: after a run whose agent was killed meanwhile, the value is in no file, answer or message."""
    async with all_traffic(world) as heard:
        await prepare(world)
        run_id = await world.run_job()
        folder = await until_it_waits(world, run_id)
        world.edges["press-1"].kill()
        world.edges["press-1"].start()
        assert files_with_the_canary(world) == []  # nor while the scripts run
        (folder / "work/go").touch()
        await world.until_state(run_id, RunState.SUCCEEDED)
        await check_that_nobody_else_got_it(world, run_id, heard)


@pytest.mark.docker
async def test_a_container_does_not_show_its_secrets(world: World) -> None:
    """In Docker: the script has the value, and ``docker inspect`` of its container does not."""
    async with all_traffic(world) as heard:
        await prepare(world, executor="docker", image=TRAINING_IMAGE)
        run_id = await world.run_job()
        folder = await until_it_waits(world, run_id)
        inspect = ["docker", "inspect", f"tidemill-{run_id}-1"]
        shown = await asyncio.to_thread(subprocess.run, inspect, capture_output=True, text=True, check=True)
        assert "tidemill-secrets" in shown.stdout
        assert CANARY not in shown.stdout
        (folder / "work/go").touch()
        await world.until_state(run_id, RunState.SUCCEEDED)
        await check_that_nobody_else_got_it(world, run_id, heard)


async def test_a_cancelled_run_leaves_no_secret_on_its_edge(world: World) -> None:
    """While its scripts run the values lie in memory; once the run is cancelled they are gone."""
    await prepare(world)
    run_id = await world.run_job()
    await until_it_waits(world, run_id)
    memory = memory_folder(world.folder / "press-1-data")
    assert memory is not None
    assert [path.name for path in memory.iterdir()] == [f"{run_id}-1"]
    await asyncio.to_thread(world.client.cancel_run, run_id)
    await until(lambda: not memory.exists() or None, "the opened secrets to be removed")


async def test_a_run_waits_for_its_secret_and_for_its_edges_key(world: World) -> None:
    """What is missing is the run's reason, with the command; once it is there the run goes on by itself."""
    await prepare(world)
    with closing(sqlite3.connect(world.folder / "tidemill-data/control.db", timeout=30)) as database:
        database.execute("DELETE FROM secrets")  # as if an older backup of it had been restored
        database.execute("UPDATE edges SET sealing_key = ''")  # as an older version enrolled it
        database.commit()
    run_id = await world.run_job()

    async def until_reason(reason: str) -> None:
        await until(lambda: reason in world.client.run(run_id).reason or None, reason)
        assert world.client.run(run_id).state is RunState.QUEUED

    await until_reason("secret canary is not set: `tidemill secret set canary`")
    world.client.set_secret("canary", CANARY.encode())
    await until_reason("`tidemill edge rekey press-1` makes one")
    world.edges["press-1"].kill()
    line = world.client.rekey_edge("press-1").agent_config
    config = world.folder / "press-1.toml"
    lines = config.read_text().splitlines(keepends=True)
    config.write_text("".join(line if old.startswith("sealing_key") else old for old in lines))
    world.edges["press-1"].start()
    folder = await until_it_waits(world, run_id)
    (folder / "work/go").touch()
    await world.until_state(run_id, RunState.SUCCEEDED)
    assert told_by_the_script(world)["file"] == hashlib.sha256(CANARY.encode()).hexdigest()
