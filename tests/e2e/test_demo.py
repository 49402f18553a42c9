"""The demonstration, as a newcomer and as a program run it."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from tests.e2e.world import TRAINING_IMAGE, kill_what_uses, until

PROGRAM = str(Path(sys.executable).with_name("tidemill"))


@asynccontextmanager
async def demo(folder: Path, *options: str) -> AsyncIterator[Process]:
    """The demonstration with its temporary files in a folder of ours; whatever is left of it at the end is killed."""
    environment = os.environ | {"TMPDIR": str(folder), "TIDEMILL_AGENT_IMAGE": TRAINING_IMAGE}
    log = (folder / "demo.log").open("wb")
    with log:
        process = await asyncio.create_subprocess_exec(
            PROGRAM, "demo", *options, env=environment, stdin=DEVNULL, stdout=PIPE, stderr=log
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        kill_what_uses(folder)


def left_over(folder: Path) -> list[str]:
    """The command lines that still run and name the demonstration's folder."""
    lines = (" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"]))
    return [line for line in lines if str(folder) in line]


@pytest.mark.parametrize("executor", ["process", pytest.param("docker", marks=pytest.mark.docker)])
async def test_the_loop_closes(tmp_path: Path, executor: str) -> None:
    """Two versions, the second from new rows alone, and every message answered across the swap."""
    async with demo(tmp_path, "--once", "--json", "--executor", executor) as process:
        output, _ = await process.communicate()
        assert left_over(tmp_path) == []
    assert process.returncode == 0, (tmp_path / "demo.log").read_text()
    told = json.loads(output)
    assert told["executor"] == executor
    assert told["broker"] == "mosquitto"
    assert [run["state"] for run in told["runs"]] == ["succeeded", "succeeded"]
    assert [version["rows"] for version in told["versions"]] == [100, 50]
    assert sum(version["rows"] for version in told["versions"]) == told["rows_published"]
    assert all(0.8 < version["metrics"]["accuracy"] <= 1 for version in told["versions"])
    messages = told["messages"]
    assert messages["answered"] == messages["sent"] >= 40
    assert (messages["lost"], messages["failed"]) == (0, 0)
    assert list(tmp_path.iterdir()) == [tmp_path / "demo.log"]


@pytest.mark.parametrize("moment", ["a controller and an edge agent start", "a timer fires"])
async def test_ctrl_c_ends_it_in_time(tmp_path: Path, moment: str) -> None:
    """Ctrl-C ends the demonstration within 5 s, at any moment, and leaves nothing behind."""
    async with demo(tmp_path, "--executor", "process") as process:
        await until(lambda: moment in (tmp_path / "demo.log").read_text() or None, moment)
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(5):
            await process.wait()
        assert process.returncode == 0, (tmp_path / "demo.log").read_text()
        assert left_over(tmp_path) == []


async def test_a_failure_says_where_the_logs_are(tmp_path: Path) -> None:
    """What cannot be had ends with status 1, the reason, and the folder with the logs."""
    async with demo(tmp_path, "--once", "--json", "--executor", "abacus") as process:
        output, _ = await process.communicate()
    told = (tmp_path / "demo.log").read_text()
    assert (process.returncode, output) == (1, b"")
    assert "abacus" in told
    assert str(tmp_path) in told
