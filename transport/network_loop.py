"""Drives a connection to the broker from the event loop itself, so that no message crosses threads.

For pipeline workers: what comes in one piece is answered in one piece. While the loop is busy, nothing
is read, written or kept alive.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress

from schemas.errors import TidemillError, Unreachable
from transport.buffered_socket import BufferedSocket
from transport.link import Link
from transport.paho_client import FIRST_RETRY_S, GOODBYE_S, LAST_RETRY_S, PahoClient, not_connected

_CHECK_S = 1.0  # how often it is looked whether the connection is still alive


class NetworkLoop:
    """Reads when there is something to read, and writes once per turn of the loop."""

    def __init__(self, client: PahoClient, broker: str) -> None:
        self._client, self._broker = client, broker
        self._loop = asyncio.get_running_loop()
        self._pause_s = FIRST_RETRY_S
        self._closing = asyncio.Event()
        self._over: asyncio.Future[None] = self._loop.create_future()  # of the present connection
        self._socket: BufferedSocket | None = None  # of the present connection, like the next
        self._number = -1  # of its file
        self._flush_is_due = False
        self._is_full = False  # the connection takes no more now, and the loop tells when it does
        self._unwritten: list[int] = []  # packet ids of QoS 0 messages
        self._sent_at_once = 0  # how many went past paho, as a negative number
        self.send_ack, self.send_again, self.give_up = client.acknowledge, client.send_again, client.give_up

    def start(self, link: Link) -> None:
        """Connect, and go on until stopped; what happens is told to the link."""
        self._link = link
        self._client.begin(link, _call, self._want_write, tell_written=False)
        self._serving = self._loop.create_task(self._serve(), name=f"mqtt {self._broker}")

    async def stop(self) -> None:
        """Say goodbye to the broker, and wait until that is written."""
        self._closing.set()
        self._client.disconnect()
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                await asyncio.shield(self._serving)
        self._serving.cancel()
        await asyncio.gather(self._serving, return_exceptions=True)

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> int:
        """Queue a message."""
        if qos == 1:
            return self._client.send_until_acknowledged(topic, payload, retain=retain)
        if self._client.send_at_once(topic, payload, retain=retain):
            self._sent_at_once -= 1  # packet ids are positive
            self._unwritten.append(self._sent_at_once)
            self._want_write()
            return self._sent_at_once
        packet_id = self._client.send(topic, payload, qos=0, retain=retain)
        self._unwritten.append(packet_id)
        return packet_id

    def subscribe(self, topic_filter: str, qos: int) -> int:
        """Queue a SUBSCRIBE."""
        return self._client.subscribe(topic_filter, qos)[1] or 0

    def unsubscribe(self, topic_filter: str) -> int:
        """Queue an UNSUBSCRIBE."""
        return self._client.unsubscribe(topic_filter)[1] or 0

    async def _serve(self) -> None:
        try:
            while not self._closing.is_set():
                trouble = await self._serve_connection()
                if self._closing.is_set():
                    return
                self._link.went_down(trouble)
                with suppress(TimeoutError):
                    async with asyncio.timeout(random.uniform(self._pause_s / 2, self._pause_s)):
                        await self._closing.wait()
                self._pause_s = min(self._pause_s * 2, LAST_RETRY_S)
        finally:
            self._client.free()

    async def _serve_connection(self) -> TidemillError:
        """Connect and serve until it breaks; returns why."""
        self._client.refused, accepted = None, self._client.accepted
        try:
            await asyncio.to_thread(self._client.reconnect)
        except (OSError, ValueError) as error:
            return not_connected(self._broker, error)
        connection = self._client.socket()
        if not isinstance(connection, BufferedSocket):  # closed again already
            return Unreachable(f"the connection to the broker at {self._broker} was lost")
        await self._until_over(connection)
        if self._client.accepted > accepted:
            self._pause_s = FIRST_RETRY_S
        return self._client.refused or Unreachable(f"the connection to the broker at {self._broker} was lost")

    async def _until_over(self, connection: BufferedSocket) -> None:
        self._number = connection.fileno()
        connection.collect()
        self._socket, self._over = connection, self._loop.create_future()
        self._loop.add_reader(self._number, self._read)
        try:
            if self._closing.is_set():
                self._client.disconnect()  # when we were told to, there was no connection to end
            self._flush()
            while not self._over.done():
                await asyncio.wait([self._over], timeout=_CHECK_S)
                self._note(self._client.loop_misc())
        finally:
            self._leave()
            self._unwritten.clear()

    def _read(self) -> None:
        taken, code = self._client.take_at_once(), 0
        if taken:
            self._want_write()  # what answers at once has its answers written behind it, not a turn of the loop later
        while code == 0 and (self._client.unread_bytes or not taken):
            code, taken = int(self._client.loop_read()), True
            self._client.take_at_once()
        self._note(code)

    def _want_write(self) -> None:
        """Paho has something to write. While it connects, in another thread, it is looked at afterwards."""
        if self._socket is not None and not self._flush_is_due:
            self._flush_is_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_is_due = False
        connection = self._socket
        if connection is None:
            return
        code = int(self._client.loop_write()) if self._client.want_write() else 0
        try:
            all_written = connection.flush()
        except OSError:
            code, all_written = 1, False
        if code != 0 or self._client.socket() is None:  # none: our goodbye was written
            self._note(code or 1)
        elif all_written:
            if self._is_full:
                self._is_full = False
                self._loop.remove_writer(self._number)
            written, self._unwritten = self._unwritten, []
            for packet_id in written:
                self._link.published(packet_id)
        else:
            self._is_full = True
            self._loop.add_writer(self._number, self._flush)

    def _note(self, code: int) -> None:
        """The connection is over when paho says anything but 0."""
        if code != 0 and not self._over.done():
            self._leave()
            self._over.set_result(None)

    def _leave(self) -> None:
        """Look at the connection no more: at once, for the number of its file may be another's in a moment."""
        if self._socket is not None:
            self._socket, self._is_full = None, False
            self._loop.remove_reader(self._number)
            self._loop.remove_writer(self._number)


def _call(call: Callable[..., None], *args: object) -> None:
    """We are on the event loop already."""
    call(*args)
