"""Nodes that tell what they gave, and that can be told that what they wait for will not come."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from pipeline_runtime.loading import Loaded
from pipeline_runtime.node_type import Node
from pipeline_runtime.run import Run
from schemas.errors import BadPayload

Resolved = Callable[[str, object], None]
"""Gets a node's id and its result."""


class Wait:
    """A node in the middle that waits for a message."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.over = False
        self._given_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def give_up(self, reason: str) -> None:
        """Fail the node: there is no message for it."""
        if not self._given_up.done():
            self._given_up.set_exception(BadPayload(reason))

    async def until_over(self, result: Awaitable[object]) -> object:
        """What came."""
        coming = asyncio.ensure_future(result)
        try:
            await asyncio.wait({coming, self._given_up}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                self._given_up.result()
            return await coming
        finally:
            self.over = True
            self._given_up.cancel()
            coming.cancel()


class Watch:
    """Sees every node of a pipeline; ``waits`` are the nodes in the middle that wait now, oldest first."""

    def __init__(self, resolved: Resolved = lambda _node, _result: None) -> None:
        self.resolved = resolved
        self.waits: list[Wait] = []
        self.changed = asyncio.Event()

    def over(self, loaded: Loaded) -> Loaded:
        """The same pipeline, seen."""
        waiting = {step.id for step in loaded.plan.steps if step.inputs and step.links.subscribes}
        steps = {
            step.id: replace(step, node=WatchedNode(step.node, step.id, self, waits=step.id in waiting))
            for step in loaded.steps.values()
        }
        return replace(loaded, steps=steps)


class WatchedNode(Node):
    """Does what the node does, and tells it."""

    def __init__(self, node: Node, node_id: str, watch: Watch, *, waits: bool) -> None:
        self._node, self._id, self._watch, self._waits = node, node_id, watch, waits

    async def open(self) -> None:
        """As the node."""
        await self._node.open()

    async def close(self) -> None:
        """As the node."""
        await self._node.close()

    def resolve(self, value: object, run: Run, /) -> object | Awaitable[object]:
        """As the node."""
        result = self._node.resolve(value, run)
        if isinstance(result, Awaitable):
            return self._wait_for_message(result) if self._waits else self._wait(result)
        self._watch.resolved(self._id, result)
        return result

    async def _wait(self, result: Awaitable[object]) -> object:
        value = await result
        self._watch.resolved(self._id, value)
        return value

    async def _wait_for_message(self, result: Awaitable[object]) -> object:
        wait = Wait(self._id)
        self._watch.waits.append(wait)
        self._watch.changed.set()
        try:
            return await self._wait(wait.until_over(result))
        finally:
            self._watch.waits.remove(wait)
            self._watch.changed.set()
