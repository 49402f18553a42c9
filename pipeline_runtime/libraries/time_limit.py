"""Gives up what takes too long."""

import asyncio
from itertools import takewhile
from typing import Any, cast

Task = asyncio.Task[Any]


class TimeLimit:
    """Cancels tasks that are late. All may take the same time: one timer, for the oldest of them, will do.

    ``asyncio.timeout`` sets one for each, which costs more than many a call.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._deadlines: dict[Task, float] = {}  # by the loop's clock; the oldest first
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> Task:
        """The current task's time begins."""
        loop = asyncio.get_running_loop()
        task = cast("Task", asyncio.current_task(loop))
        self._deadlines[task] = deadline = loop.time() + self.limit_s
        if self._timer is None:
            self._timer = loop.call_at(deadline, self._ring)
        return task

    def end(self, task: Task) -> bool:
        """Its time does not count any more. Returns whether it was late."""
        return self._deadlines.pop(task, None) is None

    def _ring(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for task, _ in list(takewhile(lambda one: one[1] <= now, self._deadlines.items())):
            del self._deadlines[task]
            task.cancel()
        oldest = next(iter(self._deadlines.values()), None)
        self._timer = None if oldest is None else loop.call_at(oldest, self._ring)
