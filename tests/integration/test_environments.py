"""Environments when things go wrong while they are made."""

import asyncio
import fcntl
import os
import sys
from pathlib import Path

import pytest

from edge_agent.execution.environment_place import Place, key_of
from edge_agent.execution.environments import EnvironmentCache
from edge_agent.polling import until
from schemas.errors import TaskFailed
from tests.integration.workbench import Workbench, make_executor, workbench


async def test_an_installer_that_outlives_its_agent_is_waited_for(tmp_path: Path) -> None:
    """After ``kill -9`` of an agent that installs, the next one touches nothing until that installer has ended."""
    requirements = tmp_path / "more-requirements"
    os.mkfifo(requirements)  # pip stops here until somebody writes
    async with workbench("process", tmp_path) as bench:
        spec = bench.spec({"use.py": "import tidepool; print(tidepool.DEPTH)"}, requirements=f"-r {requirements}")
        (bench.data / "spec.json").write_text(spec.model_dump_json())
        agent = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.integration.start_task", "process", str(bench.data), str(spec.run_id))
        )
        pip = await writer(requirements)
        agent.kill()
        await agent.wait()
        request, notes = bench.request(spec), list[str]()
        again = asyncio.create_task(bench.executor.prepare(request, notes.append))
        assert await until(lambda: notes == ["waiting for the same environment to be installed"], 20)
        requirements.unlink()
        os.mkfifo(requirements)  # the old installer has the old pipe open: what is written next is not for it
        os.close(pip)  # the old installer ends
        pip = await writer(requirements)  # the new one starts
        os.write(pip, b"tidepool\n")
        os.close(pip)
        async with asyncio.timeout(60):
            assert not (await again).cached
        assert notes[1] == "installing requirements"
        _, lines = await bench.run(request)
        assert lines == ["7"]


async def test_installing_has_a_time_limit(tmp_path: Path) -> None:
    """An installation that hangs is ended, and one that hangs elsewhere is not waited for without end."""
    bench = Workbench(tmp_path, make_executor("process", tmp_path))
    request = bench.request(bench.spec({"use.py": "pass"}))
    cache, key = EnvironmentCache(tmp_path / "environments", timeout_s=0.5), key_of(request, "test")
    ended = asyncio.Event()

    async def hang(_place: Place, _lock: int) -> int:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return 0

    with pytest.raises(TaskFailed, match="not installed within"):
        await cache.get(key, request, hang, lambda _note: None)
    assert ended.is_set()
    with cache.place(key).lock.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(TaskFailed, match="not installed within"):
            await cache.get(key, request, hang, lambda _note: None)


async def writer(pipe: Path) -> int:
    """Open a named pipe for writing once somebody reads it."""
    opened: list[int] = []

    def try_to_open() -> bool:
        try:
            opened.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:  # nobody reads yet
            return False
        return True

    assert await until(try_to_open, 60)
    return opened[0]
