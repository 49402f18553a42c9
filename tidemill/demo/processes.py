"""Starts the demonstration's daemons as real processes, and ends them."""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from schemas.errors import Unreachable

END_S = 2.0


@asynccontextmanager
async def controller(folder: Path) -> AsyncIterator[tuple[str, str]]:
    """A controller on embedded defaults; yields the URL of its API and its first token."""
    config = folder / "controller.toml"
    config.write_text('data_dir = "controller"\nhttp_port = 0\nembedded_broker_port = 0\n')
    async with _daemon("controller", folder, config) as process:
        text = ""
        while "API token" not in text:
            line = await process.stdout.readline() if process.stdout else b""
            if not line:
                raise Unreachable(f"the controller did not start; {folder / 'controller.log'} says why")
            text += line.decode()
        url, token = re.search(r"http\S+", text), re.search(r"tm_\S+", text)
        if url is None or token is None:
            raise Unreachable(f"the controller said {text!r}, and not where it is")
        yield url[0], token[0]


@asynccontextmanager
async def agent(folder: Path, config: Path) -> AsyncIterator[Process]:
    """An edge agent with this configuration."""
    async with _daemon("edge_agent", folder, config) as process:
        yield process


@asynccontextmanager
async def _daemon(module: str, folder: Path, config: Path) -> AsyncIterator[Process]:
    command = [sys.executable, "-m", module, str(config)]
    with (folder / f"{module}.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            # A group of its own: Ctrl-C reaches the demonstration alone, which then ends the daemons in order.
            *command,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=log,
            start_new_session=True,
            env=os.environ.copy(),
        )
    try:
        yield process
    finally:
        await _end(process)


async def _end(process: Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(END_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
