"""A controller's timer alone, on a clock of its own, which dies at a step that a test chooses.

Usage: firing_process.py DATABASE_URL NOW UNTIL STEPS
It goes from one tick to the next, and kills itself at that step: each statement, each commit and each call for more
work is one. It tells the time at which it looks, and each time at which what it did was kept.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import event

from controller.runs.ticks import Ticks
from controller.stores.database import Database, open_database

LATE = timedelta(milliseconds=20)
"""How long after its time a tick is seen."""


async def fire(
    database: Database, *, now: datetime, until: datetime, looked: Callable[[datetime], None], step: Callable[[], None]
) -> None:
    """Live from tick to tick. ``looked`` is called when a look was kept, ``step`` at every step."""

    def statement(*_about: object) -> None:
        step()

    def fired() -> None:
        looked(now)
        step()

    ticks = Ticks(database, fired, clock=lambda: now)
    engine = database._engine
    event.listen(engine, "after_cursor_execute", statement)
    event.listen(engine, "commit", statement)
    try:
        while now < until:
            due = await ticks.look()
            looked(now)
            now = max(now, due or until) + LATE
    finally:
        event.remove(engine, "after_cursor_execute", statement)
        event.remove(engine, "commit", statement)


def say(what: str, now: datetime) -> None:
    """Tell the test, at once."""
    sys.stdout.write(f"{what} {now.isoformat()}\n")
    sys.stdout.flush()


async def main(url: str, now: str, until: str, steps: str) -> None:
    """Live, and die."""
    left = int(steps)

    def step() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    times = {"now": datetime.fromisoformat(now), "until": datetime.fromisoformat(until)}
    await fire(open_database(url), **times, looked=lambda moment: say("looked", moment), step=step)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
