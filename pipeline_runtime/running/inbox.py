"""Hands the messages of a mqtt_sub in the middle of a pipeline to the runs that wait for them."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable

from pipeline_runtime.broker import Message

Waiting = OrderedDict["asyncio.Future[Message]", None]


class Inbox:
    """Each message goes to the run that has waited longest for its like, and to nobody when none waits."""

    def __init__(self) -> None:
        self.correlation: Callable[[Message], Hashable] = lambda _: None  # of a message; None: it answers anybody
        self.unwanted = 0  # messages that nobody waited for
        self._waiting: dict[Hashable, Waiting] = {}

    def deliver(self, message: Message) -> None:
        """A message came; it is acknowledged whether somebody waits for it or not."""
        message.ack()
        waiting = self._waiting.get(self.correlation(message)) if self._waiting else None
        if waiting:
            future, _ = waiting.popitem(last=False)
            future.set_result(message)
        else:
            self.unwanted += 1

    def next_message(self, correlation: Hashable) -> "asyncio.Future[Message]":
        """The next message that no earlier run takes. Waits from now on; cancel it to wait no longer."""
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(correlation, OrderedDict())[future] = None
        future.add_done_callback(lambda ended: self._forget(correlation, ended))
        return future

    def _forget(self, correlation: Hashable, future: "asyncio.Future[Message]") -> None:
        waiting = self._waiting.get(correlation)
        if waiting is not None:
            waiting.pop(future, None)
            if not waiting:
                del self._waiting[correlation]
