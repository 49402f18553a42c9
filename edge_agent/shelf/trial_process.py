"""A process of its own for what may end it: started, and gone at the end with all that it has started."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from edge_agent.worker.worker_process import PASSED_ON


@asynccontextmanager
async def trial_process(module: str) -> AsyncIterator[Process]:
    """``python -m module`` for the length of the block; after it, the process says how it ended."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        env={name: os.environ[name] for name in PASSED_ON if name in os.environ},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
