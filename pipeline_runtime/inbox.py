"""Hands the messages of a mqtt_sub in the middle of a pipeline to the runs that wait for them."""

import asyncio
from collections import OrderedDict


class Inbox:
    """Each message goes to the run that has waited longest, and to nobody when none waits."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[asyncio.Future[bytes], None] = OrderedDict()

    def deliver(self, payload: bytes) -> None:
        """A message came."""
        if self._waiting:
            future, _ = self._waiting.popitem(last=False)
            future.set_result(payload)

    def next_payload(self) -> asyncio.Future[bytes]:
        """The next message that no earlier run takes. Waits from now on; cancel it to wait no longer."""
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[future] = None
        future.add_done_callback(lambda ended: self._waiting.pop(ended, None))
        return future
