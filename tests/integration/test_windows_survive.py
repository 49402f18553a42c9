"""Windows that are half full when their process is killed."""

import asyncio
import random
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson

PATIENCE_S = 30.0


@asynccontextmanager
async def windowing(state: Path) -> AsyncIterator[Process]:
    """A process with a window; it is killed at the end."""
    command = (sys.executable, "-m", "tests.integration.windowing_process", str(state))
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    yield process
    process.kill()
    await process.wait()


async def ask(process: Process, message: object) -> list[bytes]:
    """What is published of a message, until it is acknowledged."""
    assert process.stdin
    assert process.stdout
    process.stdin.write(orjson.dumps(message) + b"\n")
    published = []
    async with asyncio.timeout(PATIENCE_S):
        while (line := await process.stdout.readline()) != b"ok\n":
            assert line, "it ended"
            published.append(line)
    return published


async def test_a_killed_process_loses_nothing_of_its_windows(tmp_path: Path) -> None:
    """Killed with windows half full, twice: every window comes as if nothing had happened."""
    chance = random.Random(4)
    messages = [{"ts": index / 3 + chance.uniform(-4, 1), "m": chance.choice("ab"), "v": index} for index in range(120)]
    async with windowing(tmp_path / "whole") as process:
        whole = [window for message in messages for window in await ask(process, message)]
    broken: list[bytes] = []
    for part in (messages[:31], messages[31:74], messages[74:]):
        async with windowing(tmp_path / "broken") as process:
            broken += [window for message in part for window in await ask(process, message)]
    assert list(dict.fromkeys(broken)) == whole  # one that was just published may come twice
    assert len(whole) > 10
