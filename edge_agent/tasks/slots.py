"""How many tasks are worked on at once."""

import asyncio

from edge_agent.execution.executor import TaskKey


class Slots:
    """So many places for tasks; a key holds at most one, from its preparation until nothing of it runs."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: set[TaskKey] = set()
        self._freed = asyncio.Condition()

    @property
    def free(self) -> bool:
        """Whether a task would not have to wait."""
        return len(self._taken) < self._limit

    async def take(self, key: TaskKey) -> None:
        """Wait for a place."""
        async with self._freed:
            await self._freed.wait_for(lambda: self.free)
            self._taken.add(key)

    def take_now(self, key: TaskKey) -> None:
        """Count a task that runs already, even beyond the limit: it cannot wait."""
        self._taken.add(key)

    async def release(self, key: TaskKey) -> None:
        """Give the place back; that there was none is no error."""
        async with self._freed:
            self._taken.discard(key)
            self._freed.notify_all()
