"""The demonstration, as a newcomer and as a program run it."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path

import psutil
import pytest

from tests.e2e.world import TRAINING_IMAGE, until

PROGRAM = str(Path(sys.executable).with_name("tidemill"))


async def start(folder: Path, *options: str) -> Process:
    """Start the demonstration with its temporary files in a folder of ours."""
    environment = os.environ | {"TMPDIR": str(folder), "TIDEMILL_AGENT_IMAGE": TRAINING_IMAGE}
    log = (folder / "demo.log").open("wb")
    with log:
        return await asyncio.create_subprocess_exec(
            PROGRAM, "demo", *options, env=environment, stdin=DEVNULL, stdout=PIPE, stderr=log
        )


def left_over(folder: Path) -> list[str]:
    """The command lines that still run and name the demonstration's folder."""
    lines = (" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"]))
    return [line for line in lines if str(folder) in line]


@pytest.mark.parametrize("executor", ["process", pytest.param("docker", marks=pytest.mark.docker)])
async def test_the_loop_closes(tmp_path: Path, executor: str) -> None:
    """Two versions, the second from new rows alone, and every message answered across the swap."""
    process = await start(tmp_path, "--once", "--json", "--executor", executor)
    output, _ = await process.communicate()
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
    assert left_over(tmp_path) == []
    assert list(tmp_path.iterdir()) == [tmp_path / "demo.log"]


@pytest.mark.parametrize("moment", ["a controller and an edge agent start", "a timer fires"])
async def test_ctrl_c_ends_it_in_time(tmp_path: Path, moment: str) -> None:
    """Ctrl-C ends the demonstration within 5 s, at any moment, and leaves nothing behind."""
    process = await start(tmp_path, "--executor", "process")
    await until(lambda: moment in (tmp_path / "demo.log").read_text() or None, moment)
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(5):
        await process.wait()
    assert process.returncode == 0, (tmp_path / "demo.log").read_text()
    assert left_over(tmp_path) == []


async def test_a_failure_says_where_the_logs_are(tmp_path: Path) -> None:
    """What cannot be had ends with status 1, the reason, and the folder with the logs."""
    process = await start(tmp_path, "--once", "--json", "--executor", "abacus")
    output, _ = await process.communicate()
    told = (tmp_path / "demo.log").read_text()
    assert (process.returncode, output) == (1, b"")
    assert "abacus" in told
    assert str(tmp_path) in told
