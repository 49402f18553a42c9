"""`tidemill pipeline run` at work, as a person sees it who started it in a terminal."""

import asyncio
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from schemas.broker import BrokerAddress
from tests.integration.command import PROGRAM


class Foreground:
    """The running command, and what it has said."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self._said: list[str] = []

    async def says(self, words: str) -> str:
        """The next line that has these words."""
        assert self.process.stderr is not None
        async with asyncio.timeout(30):
            while line := (await self.process.stderr.readline()).decode():
                self._said.append(line)
                if words in line:
                    return line.removesuffix("\n")
        raise AssertionError(f"it has ended, and never said {words!r}: {''.join(self._said)}")

    async def ends(self, status: int) -> str:
        """All that it has said, once it has ended, which it must with that status."""
        assert self.process.stderr is not None
        async with asyncio.timeout(30):
            self._said.append((await self.process.stderr.read()).decode())
            ended = await self.process.wait()
        said = "".join(self._said)
        assert ended == status, said
        assert "Traceback" not in said
        return said


@asynccontextmanager
async def foreground(folder: Path, broker: BrokerAddress, *options: str) -> AsyncIterator[Foreground]:
    """The command with ``p.yaml`` of a folder, which is its home too, for the length of the block."""
    process = await asyncio.create_subprocess_exec(
        *(str(PROGRAM), "pipeline", "run", "p.yaml", "--broker", broker.url, *options),
        cwd=folder,
        env={**os.environ, "HOME": str(folder), "XDG_STATE_HOME": str(folder / "state")},
        stderr=PIPE,
    )
    try:
        yield Foreground(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
