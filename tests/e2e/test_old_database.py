"""What an earlier version left behind is taken over: its control database is migrated, and its jobs go on.

``version_0001`` holds, as text, what a controller of the first migration kept: a job that trained twice on three rows
each, then was skipped, then failed, and whose fifth run waits for its edge with the last two of eight rows.
"""

import json
import sqlite3
from pathlib import Path

from schemas.runs import RunState
from tests.conftest import Mosquitto
from tests.e2e.world import World
from tests.onnx_graphs import times
from transport.blob_store import BlobDirectory

LEFT = Path(__file__).with_name("version_0001")


def _put_back(data: Path) -> None:
    """The data folder as that controller left it."""
    data.mkdir()
    for name in ("control", "collections"):
        database = sqlite3.connect(data / f"{name}.db")
        database.executescript((LEFT / f"{name}.sql").read_text())
        database.close()
    blobs = BlobDirectory(data / "blobs")
    for text in json.loads((LEFT / "blobs.json").read_text()):
        blobs.put_bytes(text.encode())
    blobs.put_file(times(data.parent / "tiny.onnx", 12345.0))


async def _edge_of_old(world: World, name: str) -> None:
    """Start the edge that the database knows, with a configuration for the controller's new key."""
    agent = await world.add_edge("press-9", start=False)
    config = world.folder / "press-9.toml"
    config.write_text(config.read_text().replace("press-9", name))
    agent.start()
    await world.until_online(name)


async def test_jobs_of_an_old_database_go_on(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """Jobs, runs, versions and marks are those that were; the run that waited ends well, and the next sees new rows."""
    folder = tmp_path / "world"
    folder.mkdir()
    _put_back(folder / "tidemill-data")
    async with World.running(folder, mosquitto) as world:
        client = world.client
        waiting, *ended = client.runs(job="retrain")
        assert [run.state for run in ended] == [RunState.FAILED, RunState.SKIPPED, *[RunState.SUCCEEDED] * 2]
        assert (waiting.state, waiting.rows) == (RunState.QUEUED, 2)
        assert waiting.reason.startswith("press-1 is offline since ")
        told = client.job("retrain")
        assert (told.spec.params, told.live_runs, told.usage.runs) == ({"fail": False}, 1, 4)
        assert len(told.next_fires) == 5
        assert [world.trained_on(version) for version in (1, 2)] == [[0, 1, 2], [3, 4, 5]]

        await _edge_of_old(world, "press-1")
        assert (await world.until_ended(waiting.id)).version == 3
        assert world.trained_on(3) == [6, 7]
        await world.until_state(await world.run_job(), RunState.SKIPPED)
        client.import_rows("readings", b'[{"id": 8}]', "application/json")
        assert (await world.until_ended(await world.run_job())).version == 4
        assert world.trained_on(4) == [8]
        again = client.reproduce_run(ended[-1].id)
        assert (await world.until_ended(again.id)).version == 5
        assert world.trained_on(5) == [0, 1, 2]
        assert client.model("tiny").aliases[0].version == 4
