"""A mqtt_sub in the middle that tells when it waits, and that can be told that what it waits for will not come."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from pipeline_runtime.node_type import Fittings
from pipeline_runtime.nodes.mqtt_sub import MqttSub, Params
from pipeline_runtime.running.loaded import LiveNode, Loaded
from pipeline_runtime.running.run import Run
from schemas.errors import BadPayload


class Wait:
    """One run's wait for a message."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.over = False
        self._given_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def give_up(self, reason: str) -> None:
        """Fail the node: there is no message for it."""
        if not self._given_up.done():
            self._given_up.set_exception(BadPayload(reason))

    async def until_over(self, result: Awaitable[object]) -> object:
        """What came. Raises BadPayload when it was given up, or when what came is not what the node reads."""
        coming: asyncio.Future[object] = asyncio.ensure_future(result)
        both: set[asyncio.Future[Any]] = {coming, self._given_up}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                self._given_up.result()
            return await coming
        finally:
            self.over = True
            self._given_up.cancel()
            coming.cancel()


class Waits:
    """What the nodes in the middle wait for now, oldest first."""

    def __init__(self, changed: asyncio.Event) -> None:
        self.open: list[Wait] = []
        self._changed = changed  # set whenever a node begins to wait

    def watch(self, loaded: Loaded) -> None:
        """Have the pipeline's nodes in the middle tell when they wait."""
        for step in loaded.plan.steps:
            if step.inputs and isinstance(step.params, Params):
                loaded.nodes[step.id] = LiveNode(step, _TellingSub(step.params, step.id, self))

    async def until_over(self, node: str, result: Awaitable[object]) -> object:
        """What came for a node."""
        wait = Wait(node)
        self.open.append(wait)
        self._changed.set()
        try:
            return await wait.until_over(result)
        finally:
            self.open.remove(wait)


class _TellingSub(MqttSub):
    """Waits as any mqtt_sub, and tells it."""

    def __init__(self, params: Params, node: str, waits: Waits) -> None:
        super().__init__(params, Fittings(node=node, models={}, libraries={}))
        self._id, self._waits = node, waits

    def resolve(self, value: object, run: Run, /) -> Awaitable[object]:
        """Wait for the message."""
        return self._waits.until_over(self._id, super().resolve(value, run))
