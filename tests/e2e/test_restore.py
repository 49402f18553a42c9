"""What docs/controller.md says of backups is so."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from schemas.runs import RunState
from tests.e2e.world import READINGS, World, job


def back_up(data_dir: Path, copy: Path) -> None:
    """Copy a running controller, in the order that the manual asks for."""
    copy.mkdir()
    for name in ("control.db", "collections.db"):
        with closing(sqlite3.connect(data_dir / name)) as source, closing(sqlite3.connect(copy / name)) as target:
            source.backup(target)
    for name in ("blobs", "logs", "progress"):
        shutil.copytree(data_dir / name, copy / name)
    for name in ("signing_key.pem", "secrets_key"):
        shutil.copy2(data_dir / name, copy)


async def test_a_restored_controller_goes_on(world: World, tmp_path: Path) -> None:
    """A copy of a running controller, put in its place later, goes on with the edges as they are and trains again."""
    data_dir, copy = world.folder / "tidemill-data", tmp_path / "copy"
    await world.add_edge()
    await world.apply(READINGS, job())
    await world.publish(range(3))
    await world.until_state(await world.run_job(), RunState.SUCCEEDED)
    back_up(data_dir, copy)
    await world.publish(range(3, 5))
    forgotten = await world.until_state(await world.run_job(), RunState.SUCCEEDED)

    world.controller.kill()
    shutil.rmtree(data_dir)
    copy.rename(data_dir)
    world.controller.start()
    await world.until_ready()

    assert world.versions() == [1]
    assert forgotten.id not in {run.id for run in world.client.runs()}
    await world.until_online()
    await world.publish(range(5, 9))
    again = await world.until_state(await world.run_job(), RunState.SUCCEEDED)
    assert (again.version, again.rows) == (2, 4)
    assert world.trained_on(2) == [5, 6, 7, 8]
