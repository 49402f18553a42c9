"""Sending a running task's log lines as they come; what does not get through is in the log's blob later."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from edge_agent.execution.executor import Executor, TaskHandle
from schemas import topics
from schemas.errors import TidemillError
from schemas.names import EdgeName
from schemas.runs import LogBatch
from transport.mqtt import Link

BATCH_LINES = 200
BATCH_LENGTH = 100_000  # characters
BATCH_S = 0.5
LAST_LINES_S = 2.0  # how long the end of a task waits for its last lines to leave

Lines = asyncio.Queue[str | None]  # None: no more will come


@asynccontextmanager
async def shipped_log(link: Link, edge: EdgeName, executor: Executor, handle: TaskHandle) -> AsyncIterator[None]:
    """Ship the task's log while the context lasts, and its last lines at the end if the broker takes them soon."""
    shipping = asyncio.create_task(_ship(link, edge, executor, handle), name=f"log of task {handle.key}")
    try:
        yield
        await asyncio.wait({shipping}, timeout=LAST_LINES_S)
    finally:
        shipping.cancel()
        with suppress(asyncio.CancelledError):
            await shipping


async def _ship(link: Link, edge: EdgeName, executor: Executor, handle: TaskHandle) -> None:
    topic = topics.RUN_LOGS.to(edge=edge, run=str(handle.key.run_id))
    queue: Lines = asyncio.Queue(maxsize=BATCH_LINES)
    first_line = 0
    async with asyncio.TaskGroup() as group:
        group.create_task(_read(executor, handle, queue), name=f"log lines of task {handle.key}")
        while lines := await _next_batch(queue):
            batch = LogBatch(
                run_id=handle.key.run_id, attempt=handle.key.attempt, first_line=first_line, lines=tuple(lines)
            )
            first_line += len(lines)
            with suppress(TidemillError):  # no broker: this batch is lost, the next may get through
                await link.publish(topic, batch.to_wire())


async def _read(executor: Executor, handle: TaskHandle, queue: Lines) -> None:
    with suppress(TidemillError):  # the executor went away; the end of the task will tell
        async for line in executor.log_lines(handle, 0):
            await queue.put(line)
    await queue.put(None)


async def _next_batch(queue: Lines) -> list[str]:
    """Wait for a line, then take what comes until the batch is full or half a second old; empty: no more comes."""
    batch: list[str] = []
    length = 0
    deadline: float | None = None
    with suppress(TimeoutError):
        while len(batch) < BATCH_LINES and length < BATCH_LENGTH:
            async with asyncio.timeout_at(deadline):
                line = await queue.get()
            if line is None:
                queue.put_nowait(None)  # for the next call, there is room: this one just made it
                return batch
            batch.append(line)
            length += len(line)
            deadline = deadline or asyncio.get_running_loop().time() + BATCH_S
    return batch
