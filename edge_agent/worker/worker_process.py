"""One life of a pipeline's worker process: started, talked to, ended, and never left behind."""

import asyncio
import logging
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from edge_agent.worker.worker_protocol import MAX_LINE_BYTES, Answer, Order, Stop, read_answer

log = logging.getLogger(__name__)

SILENCE_S = 120.0  # a worker that says nothing for so long is stuck: it shows life every five seconds
GRACE_S = 4.5  # to end by itself
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH", "SSL_CERT_FILE")
"""What a worker gets of the agent's environment: a user's library has no business with the agent's credentials."""


class WorkerProcess:
    """A running worker."""

    def __init__(self, process: Process, pipeline: str) -> None:
        self._process = process
        self._pipeline = pipeline
        self._last_words = ""
        self._silent = False
        self.ending = False  # it was asked to
        self._why = ""
        self._log = asyncio.create_task(self._pass_on_log(), name=f"log of {pipeline}")

    async def send(self, order: Order) -> None:
        """Give an order; to a worker that has just ended, it does nothing."""
        stdin = self._process.stdin
        if stdin is not None:
            with suppress(ConnectionError):
                stdin.write(order.to_line())
                await stdin.drain()

    async def answers(self) -> AsyncIterator[Answer]:
        """What it says, until it ends or falls silent for too long."""
        stdout = self._process.stdout
        while stdout is not None:
            try:
                async with asyncio.timeout(SILENCE_S):
                    line = await stdout.readline()
            except TimeoutError:
                self._silent = True
                return
            if not line:
                return
            yield read_answer(line)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    async def kill(self, why: str) -> None:
        """Have it gone at once, for that reason."""
        self._why = self._why or why
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    async def end(self) -> str:
        """Have it end, by force if it takes too long; returns in words why it ended. May be called again."""
        self.ending = True
        if not self._why:
            with suppress(TimeoutError):
                async with asyncio.timeout(0 if self._silent else GRACE_S):
                    await self.send(Stop())
                    await self._process.wait()
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # and what its libraries have started
            code = await self._process.wait()
            await self._log
            self._why = f"it gave no sign of life for {SILENCE_S:g} s" if self._silent else _why(code, self._last_words)
        return self._why

    async def _pass_on_log(self) -> None:
        stderr = self._process.stderr
        while stderr is not None:
            try:
                line = await stderr.readline()
            except ValueError:
                continue  # longer than the limit, and dropped by the reader
            if not line:
                return
            self._last_words = line.decode(errors="replace").strip()[:500] or self._last_words
            log.info("worker", extra={"pipeline": self._pipeline, "says": self._last_words})


@asynccontextmanager
async def worker_process(pipeline: str, mark_fd: int) -> AsyncIterator[WorkerProcess]:
    """A worker for the length of the block; at its end it is gone, with all that it started."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edge_agent.worker.pipeline_worker"),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env={name: os.environ[name] for name in PASSED_ON if name in os.environ},
        limit=MAX_LINE_BYTES,
        pass_fds=(mark_fd,),
        start_new_session=True,  # Ctrl-C on a terminal is the agent's to handle
    )
    worker = WorkerProcess(process, pipeline)
    try:
        yield worker
    finally:
        await worker.end()


def _why(code: int, last_words: str) -> str:
    how = f"it ended with exit code {code}" if code >= 0 else f"it was killed by {signal.Signals(-code).name}"
    return f"{how}; it wrote last: {last_words}" if last_words else how
