"""Tells in the log where a worker hangs. Costs nothing per message: a timer is put off now and then by the loop."""

import asyncio
import faulthandler

HANG_S = 10.0  # for so long nothing else was done


async def watch_hangs(hang_s: float = HANG_S) -> None:
    """Whenever the loop has not gone round for ``hang_s``, write what every thread is doing to stderr."""
    try:
        while True:
            faulthandler.dump_traceback_later(hang_s)
            await asyncio.sleep(hang_s / 4)
    finally:
        faulthandler.cancel_dump_traceback_later()
