"""Drives a connection to the broker from a thread of its own, which only posts to the event loop.

For daemons: a busy event loop delays no keepalive and no acknowledgement on the way out.
"""

import asyncio
import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from schemas.errors import TidemillError, Unreachable
from transport.link import Link
from transport.paho_client import CONNECT_S, FIRST_RETRY_S, GOODBYE_S, LAST_RETRY_S, PahoClient, not_connected


class NetworkThread:
    """The thread that reads and writes, and the only one in which paho's callbacks run."""

    def __init__(self, client: PahoClient, broker: str) -> None:
        self._client, self._broker = client, broker
        self._loop = asyncio.get_running_loop()
        self._pause_s = FIRST_RETRY_S
        self._closing = threading.Event()
        self._give_up_at_s = math.inf
        self._posted: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._wake_posted = False
        self._thread = threading.Thread(target=self._run, name=f"mqtt {broker}", daemon=True)
        self.publish, self.send_ack = client.send, client.acknowledge
        self.send_again, self.give_up = client.send_again, client.give_up  # nothing: paho sends its own messages again

    def start(self, link: Link) -> None:
        """Connect, and go on until stopped; what happens is told to the link, on the event loop."""
        self._link = link
        self._client.posted = lambda: len(self._posted)
        self._client.begin(link, self._post, _leave_writing_to_the_thread, tell_written=True)
        self._thread.start()

    async def stop(self) -> None:
        """Say goodbye to the broker, and wait for the thread's end."""
        self._give_up_at_s = time.monotonic() + GOODBYE_S
        self._closing.set()
        with suppress(OSError):  # the thread may have closed the connection at this very moment
            self._client.disconnect()
        await asyncio.to_thread(self._thread.join, CONNECT_S + GOODBYE_S)

    def subscribe(self, topic_filter: str, qos: int) -> int:
        """Queue a SUBSCRIBE."""
        return self._client.subscribe(topic_filter, qos)[1] or 0

    def unsubscribe(self, topic_filter: str) -> int:
        """Queue an UNSUBSCRIBE."""
        return self._client.unsubscribe(topic_filter)[1] or 0

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                trouble = self._serve_connection()
                self._post(self._link.went_down, trouble)
                self._closing.wait(random.uniform(self._pause_s / 2, self._pause_s))
                self._pause_s = min(self._pause_s * 2, LAST_RETRY_S)
        finally:
            self._client.free()

    def _serve_connection(self) -> TidemillError:
        """Connect and serve until it breaks; returns why."""
        self._client.refused, accepted = None, self._client.accepted
        try:
            self._client.reconnect()
        except (OSError, ValueError) as error:
            return not_connected(self._broker, error)
        if self._closing.is_set():
            self._client.disconnect()  # when we were told to, there was no connection to end
        while self._client.loop(1.0) == 0 and time.monotonic() < self._give_up_at_s:
            pass
        if self._client.accepted > accepted:
            self._pause_s = FIRST_RETRY_S
        return self._client.refused or Unreachable(f"the connection to the broker at {self._broker} was lost")

    def _post(self, call: Callable[..., None], *args: object) -> None:
        """Have the event loop call this: one wake-up serves all that happens until it comes."""
        self._posted.append((call, args))
        if not self._wake_posted:
            self._wake_posted = True
            with suppress(RuntimeError):  # the loop is closed, and nobody there to be told
                self._loop.call_soon_threadsafe(self._call_posted)

    def _call_posted(self) -> None:
        """Make the calls that wait now; what comes meanwhile waits for the next turn, as everything else does."""
        self._wake_posted = False
        for _ in range(len(self._posted)):
            if self._closing.is_set():
                return
            call, args = self._posted.popleft()
            call(*args)


def _leave_writing_to_the_thread() -> None:
    """It looks for itself."""
