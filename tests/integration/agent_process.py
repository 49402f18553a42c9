"""The agent as a real process that a test starts, kills and starts again."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from schemas.broker import BrokerAddress
from tests.integration.scripted_controller import EDGE


async def until(holds: Callable[[], bool], *, timeout_s: float = 20) -> None:
    """Wait for something in another process that tells nobody of it."""
    async with asyncio.timeout(timeout_s):
        while not holds():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.05)


class AgentProcess:
    """One agent with one data folder; its log goes to a file beside it."""

    def __init__(self, folder: Path, broker: BrokerAddress, public_key: str, **settings: str) -> None:
        self.data_dir = folder / "data"
        self.log = folder / "agent.log"
        self.config = folder / "agent.toml"
        self._process: subprocess.Popen[bytes] | None = None
        lines = {"executor": '"process"', "report_every_s": "1"} | settings
        self.config.write_text(
            f'edge = "{EDGE}"\ncontroller_public_key = "{public_key}"\ndata_dir = "data"\n'
            + "".join(f"{key} = {value}\n" for key, value in lines.items())
            + f'[broker]\nurl = "{broker.url}"\n'
        )

    @classmethod
    @contextmanager
    def running(cls, folder: Path, broker: BrokerAddress, public_key: str, **settings: str) -> "Iterator[AgentProcess]":
        """An agent that runs; whatever of it still runs at the end is killed, its tasks included."""
        agent = cls(folder, broker, public_key, **settings)
        agent.start()
        try:
            yield agent
        finally:
            agent.kill()
            for process in agent.task_processes():
                process.kill()

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it; it runs, but nothing is known of how far it is."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([sys.executable, "-m", "edge_agent", str(self.config)], stderr=log)

    def kill(self) -> None:
        """``kill -9``."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    async def terminate(self, *, timeout_s: float = 10) -> int:
        """SIGTERM; returns the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(self._process.wait, timeout_s)
        self._process = None
        return code

    async def exit_code(self, *, timeout_s: float = 20) -> int:
        """Wait for its end."""
        assert self._process is not None
        return await asyncio.to_thread(self._process.wait, timeout_s)

    def task_processes(self) -> list[psutil.Process]:
        """Every process whose command line or working folder is inside the data folder."""
        found = []
        for process in psutil.process_iter():
            try:
                words = [process.cwd(), *process.cmdline()]
            except psutil.Error:
                continue
            if any(word.startswith(str(self.data_dir)) for word in words):
                found.append(process)
        return found
