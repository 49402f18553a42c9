"""A whole Tidemill for a test: broker, controller and edges as real processes, and a client to look at them."""

import asyncio
import json
import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import psutil
import yaml

from schemas.runs import LIVE, RunState
from schemas.views import Applied, RunView
from tests.conftest import Mosquitto, free_port
from tests.onnx_graphs import times
from tidemill.client import Client
from tidemill.fleet_files import read_fleet
from transport.mqtt import Link, connect

Found = TypeVar("Found")
TIMEOUT_S = 60.0
TRAINING_IMAGE = "tidemill-training:bookworm"

READINGS: dict[str, object] = {
    "kind": "Collection",
    "name": "readings",
    "columns": {"id": "integer", "value": "real"},
    "required": ["id"],
    "topics": ["plant/+/readings"],
}


class Daemon:
    """A process that a test starts, kills and starts again; what it says goes to a file."""

    def __init__(self, module: str, config: Path) -> None:
        self._command = [sys.executable, "-m", module, str(config)]
        self.log = config.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it; nothing is known yet of how far it is."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)

    def kill(self) -> None:
        """``kill -9``."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def send(self, number: signal.Signals) -> None:
        """Send a signal, such as SIGSTOP: the process is there, and does nothing."""
        assert self._process is not None
        self._process.send_signal(number)


class World:
    """One controller, its broker, and any number of edges."""

    def __init__(self, folder: Path, broker: Mosquitto) -> None:
        self.folder, self.broker = folder, broker
        port = free_port()
        config = folder / "controller.toml"
        config.write_text(f'http_port = {port}\n[broker]\nurl = "{broker.address.url}"\n')
        self.controller = Daemon("controller", config)
        self.edges: dict[str, Daemon] = {}
        self.url = f"http://127.0.0.1:{port}"
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """A client with the controller's first token."""
        assert self._client is not None
        return self._client

    @classmethod
    @asynccontextmanager
    async def running(cls, folder: Path, broker: Mosquitto) -> "AsyncIterator[World]":
        """A running controller; at the end everything is killed, tasks and workers included."""
        world = cls(folder, broker)
        world.controller.start()
        try:
            text = await until(lambda: re.search(r"tm_\S+", world.controller.log.read_text()), "the token")
            with Client(world.url, text[0]) as world._client:
                await world.until_ready()
                yield world
        finally:
            for daemon in (*world.edges.values(), world.controller):
                daemon.kill()
            kill_what_uses(folder)

    async def until_ready(self) -> None:
        """Wait until the controller answers and can do its work."""

        def ready() -> bool | None:
            try:
                self.client.edges()
            except Exception:  # noqa: BLE001 - whatever a dead server gives
                return None
            return True

        await until(ready, "the controller to answer")

    async def restart_controller(self) -> None:
        """``kill -9`` and start again."""
        self.controller.kill()
        self.controller.start()
        await self.until_ready()

    async def add_edge(
        self, name: str = "press-1", *, start: bool = True, labels: dict[str, str] | None = None, **settings: object
    ) -> Daemon:
        """Enrol an edge, and start its agent."""
        enrolled = await asyncio.to_thread(self.client.add_edge, name, labels or {})
        config = self.folder / f"{name}.toml"
        wanted = {"executor": "process", "report_every_s": 1, "end_tasks_on_exit": False, **settings}
        head = "".join(f"{key} = {json.dumps(value)}\n" for key, value in wanted.items())
        install = f'\n[install]\nca_bundle = "{os.environ["PIP_CERT"]}"\n' if "PIP_CERT" in os.environ else ""
        config.write_text(head + enrolled.agent_config + install)
        self.edges[name] = Daemon("edge_agent", config)
        if start:
            self.edges[name].start()
            await self.until_online(name)
        return self.edges[name]

    async def until_online(self, name: str = "press-1", *, online: bool = True) -> None:
        """Wait until the controller sees the edge go, or come and say what it has."""

        def look() -> bool | None:
            edge = self.client.edge(name)
            return True if edge.online is online and (edge.report is not None or not online) else None

        await until(look, f"{name} to be online={online}")

    async def apply(self, *documents: dict[str, object]) -> Applied:
        """Write a fleet file and apply it."""
        times(self.folder / "tiny.onnx", 12345.0)
        script = Path(__file__).with_name("tiny_train.py").read_bytes()
        (self.folder / "train.py").write_bytes(script)
        (self.folder / "fleet.yaml").write_text(yaml.safe_dump_all(documents))
        fleet = read_fleet(self.folder / "fleet.yaml")
        return await asyncio.to_thread(lambda: self.client.apply(fleet.fleet(self.client.upload)))

    async def publish(self, ids: Iterable[int], topic: str = "plant/a/readings") -> None:
        """Publish rows as a device does, and return when the collection holds them all."""
        rows = [json.dumps({"id": number, "value": number / 2}).encode() for number in ids]
        before = (await asyncio.to_thread(self.client.collection, "readings")).rows
        async with self.device() as link:
            for row in rows:
                await link.publish(topic, row)
        await self.until_rows(before + len(rows))

    async def until_rows(self, number: int) -> None:
        """Wait until the collection holds so many rows."""
        await until(lambda: self.client.collection("readings").rows >= number or None, f"{number} rows")

    @asynccontextmanager
    async def device(self) -> AsyncIterator[Link]:
        """A device's connection to the broker."""
        name = f"device-{secrets.token_hex(4)}"  # a second connection of one name would end the first
        async with connect(self.broker.address, name) as link:
            yield link

    async def run_job(self, name: str = "retrain") -> UUID:
        """Queue a run."""
        return (await asyncio.to_thread(self.client.run_job, name)).id

    async def until_state(self, run_id: UUID, *states: RunState, timeout_s: float = TIMEOUT_S) -> RunView:
        """Wait until a run is in one of these states; ending otherwise is a failure at once."""

        def look() -> RunView | None:
            run = self.client.run(run_id)
            if run.state in states:
                return run
            assert run.state in LIVE, f"{run.state}: {run.reason}\n" + "\n".join(run.log_tail)
            return None

        return await until(look, f"run {run_id} to be {' or '.join(states)}", timeout_s=timeout_s)

    async def until_ended(self, run_id: UUID, timeout_s: float = TIMEOUT_S) -> RunView:
        """Wait until a run has ended, however."""
        ended = [state for state in RunState if state not in LIVE]
        return await self.until_state(run_id, *ended, timeout_s=timeout_s)

    def versions(self, model: str = "tiny") -> list[int]:
        """The numbers of the model's versions, oldest first."""
        return [card.version for card in reversed(self.client.model(model).versions)]

    def reported_at(self, edge: str = "press-1") -> datetime:
        """When the edge sent the report that the controller has now."""
        report = self.client.edge(edge).report
        assert report is not None
        return report.sent_at

    def scripts(self) -> list[int]:
        """The training scripts that run now, by pid."""
        found = psutil.process_iter(["cmdline"])
        return [process.pid for process in found if self._is_script(process.info["cmdline"] or [])]

    def _is_script(self, words: list[str]) -> bool:
        return any(word.endswith("train.py") and str(self.folder) in word for word in words)

    def trained_on(self, version: int, model: str = "tiny") -> list[int]:
        """The ids of the rows that a version's run was given, as they were sent to its edge."""
        card = next(card for card in self.client.model(model).versions if card.version == version)
        (blob,) = (self.folder / "tidemill-data" / "blobs").rglob(f"*{card.lineage.data[0].blob.digest[-40:]}")
        return [row["id"] for row in json.loads(blob.read_text())]


def job(edge: str = "press-1", params: dict[str, object] | None = None, **changes: object) -> dict[str, object]:
    """A job that trains the tiny model on new readings."""
    return {
        "kind": "Job",
        "name": "retrain",
        "model": "tiny",
        "edge": edge,
        "scripts": ["train.py"],
        "inputs": ["tiny.onnx"],
        "metrics": ["accuracy"],
        "params": params or {},
        "queries": [{"query": "SELECT id, value FROM readings", "new_data_only": True, "collection": "readings"}],
        **changes,
    }


async def until(look: Callable[[], Found | None], what: str, *, timeout_s: float = TIMEOUT_S) -> Found:
    """Wait for something in another process that tells nobody of it."""
    try:
        async with asyncio.timeout(timeout_s):
            while (found := await asyncio.to_thread(look)) is None:  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.02)
            return found
    except TimeoutError:
        raise AssertionError(f"waited {timeout_s:g} s for {what}, in vain") from None


def kill_what_uses(folder: Path) -> None:
    """End every process whose command line or working folder lies in a test's own folder."""
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = [*(process.info["cmdline"] or []), process.info["cwd"] or ""]
        if any(str(folder) in word for word in words) and process.pid != os.getpid():
            process.kill()
