"""Begins what a node wants to wait for."""

import asyncio
import sys
from collections.abc import Awaitable, Coroutine


def begun(awaitable: Awaitable[object]) -> "asyncio.Future[object]":
    """The same as a future. From Python 3.12 on, a coroutine that need not wait is done when this returns.

    Before that, each takes a task and a turn of the event loop: nothing that a library may look at (its task, a
    timeout) would be there if its first step were taken without one.
    """
    if sys.version_info >= (3, 12) and isinstance(awaitable, Coroutine):
        return asyncio.Task(awaitable, loop=asyncio.get_running_loop(), eager_start=True)
    return asyncio.ensure_future(awaitable)
