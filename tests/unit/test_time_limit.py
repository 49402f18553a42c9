"""Calls that may take their time, but not too long."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pipeline_runtime.libraries.time_limit import TimeLimit

PATIENCE_S = 20


async def is_late(limit: TimeLimit, wait: Callable[[], Awaitable[object]]) -> bool:
    """Whether the limit says so of a task that waits for that."""

    async def timed() -> bool:
        task = limit.begin()
        try:
            await wait()
        except asyncio.CancelledError:
            if not limit.end(task):
                raise
            return True
        return limit.end(task)

    return await asyncio.wait_for(asyncio.create_task(timed()), PATIENCE_S)


async def forever() -> None:
    """Wait for nothing."""
    await asyncio.Event().wait()


async def test_each_has_its_own_time() -> None:
    """Those that began together, and one that began in the midst of another's time; in the end no timer is left."""
    limit, others = TimeLimit(0.02), list[asyncio.Task[bool]]()

    async def begin_another() -> None:
        await asyncio.sleep(0.001)
        others.append(asyncio.create_task(is_late(limit, forever)))
        await forever()

    loop = asyncio.get_running_loop()
    began_s = loop.time()
    assert all(await asyncio.gather(is_late(limit, begin_another), *(is_late(limit, forever) for _ in range(5))))
    assert await others[0]
    assert loop.time() - began_s >= 0.021
    assert limit._timer is None


async def test_what_is_in_time_is_left_alone() -> None:
    """The timer was set for it, and rings for those behind it."""
    limit, go_on = TimeLimit(0.02), asyncio.Event()

    async def ended_in_time() -> str:
        assert not limit.end(limit.begin())
        await go_on.wait()
        return "through"

    task = asyncio.create_task(ended_in_time())
    assert await is_late(limit, forever)
    go_on.set()
    assert await task == "through"


async def test_who_is_cancelled_by_others_is_not_late() -> None:
    """It can tell one from the other."""
    limit = TimeLimit(PATIENCE_S)
    task = asyncio.create_task(is_late(limit, forever))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
