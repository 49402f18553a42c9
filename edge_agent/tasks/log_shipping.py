"""Sending a running task's log and progress as they come; what does not get through is in their blobs later."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from edge_agent.execution.executor import TaskHandle
from edge_agent.tasks.progress import live_points
from edge_agent.tasks.workshop import Workshop
from schemas.errors import TidemillError
from schemas.runs import LogBatch
from schemas.topics import RUN_LOGS, RUN_PROGRESS, Topic

BATCH_LINES = 200
BATCH_LENGTH = 100_000  # characters
BATCH_S = 0.5
LAST_LINES_S = 2.0  # how long the end of a task waits for its last lines to leave

Lines = asyncio.Queue[str | None]  # None: no more will come


@asynccontextmanager
async def shipped_output(shop: Workshop, handle: TaskHandle) -> AsyncIterator[None]:
    """Ship while the context lasts, and the last lines at the end if the broker takes them soon."""
    over = asyncio.Event()

    async def ended() -> bool:
        return over.is_set()

    log = _ship(shop, handle, RUN_LOGS, shop.executor.log_lines(handle, 0))
    progress = _ship(shop, handle, RUN_PROGRESS, live_points(shop.folders, handle.key, ended))
    shipping = {
        asyncio.create_task(log, name=f"log of task {handle.key}"),
        asyncio.create_task(progress, name=f"progress of task {handle.key}"),
    }
    try:
        yield
        over.set()
        await asyncio.wait(shipping, timeout=LAST_LINES_S)
    finally:
        for task in shipping:
            task.cancel()
        for task in shipping:
            with suppress(asyncio.CancelledError):
                await task


async def _ship(shop: Workshop, handle: TaskHandle, topic: Topic, lines: AsyncIterator[str]) -> None:
    run_id, attempt = handle.key.run_id, handle.key.attempt
    queue: Lines = asyncio.Queue(maxsize=BATCH_LINES)
    first_line = 0
    async with asyncio.TaskGroup() as group:
        group.create_task(_read(lines, queue), name=f"{topic.pattern} of task {handle.key}")
        while batch := await _next_batch(queue):
            message = LogBatch(run_id=run_id, attempt=attempt, first_line=first_line, lines=tuple(batch))
            first_line += len(batch)
            with suppress(TidemillError):  # no broker: this batch is lost, the next may get through
                await shop.link.publish(topic.to(edge=shop.edge, run=str(run_id)), message.to_wire())


async def _read(lines: AsyncIterator[str], queue: Lines) -> None:
    with suppress(TidemillError, OSError):  # the executor or the disk went away; the end of the task will tell
        async for line in lines:
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
