"""Waiting for what nobody announces: a file that grows, a lock that is let go, a process that ends."""

import asyncio
import math
import time
from collections.abc import Callable

LOOK_S = 0.1


async def until(condition: Callable[[], bool], timeout_s: float = math.inf) -> bool:
    """Look ten times a second whether ``condition`` holds; False if it did not within ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(LOOK_S)
    return True
