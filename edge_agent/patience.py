"""How the agent waits for what is away (Docker, the controller), and how it finishes what must not be cut in two."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from schemas.errors import TidemillError

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0

Result = TypeVar("Result")


async def until_reachable(call: Callable[[], Awaitable[Result]], note: Callable[[str], None]) -> Result:
    """Call again, ever slower, for as long as the failure is one that passes; ``note`` is told of each.

    Raises:
        TidemillError: a failure that trying again does not mend.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return await call()
        except TidemillError as error:
            if not error.retryable:
                raise
            note(f"{error}; trying again")
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


async def to_its_end(work: Coroutine[Any, Any, Result]) -> Result:
    """Await short work that leaves a half-made thing when it is cut off; a cancellation takes effect after it."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # looked at: the cancellation matters more than how the work ended
        raise
