"""The only home of paho-mqtt: a connection to the broker whose network thread only posts to the event loop."""

import asyncio
import math
import random
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from schemas.broker import BrokerAddress
from schemas.errors import TidemillError, Unauthorized, Unreachable, Untrusted
from transport.buffered_socket import BufferedSocket
from transport.link import MAX_PAYLOAD_BYTES, Link
from transport.outbox import IN_FLIGHT
from transport.subscription import Message, Subscription
from transport.tls import client_context

__all__ = ["MAX_PAYLOAD_BYTES", "Link", "Message", "Subscription", "connect"]

_FIRST_RETRY_S, _LAST_RETRY_S = 0.2, 30.0
_CONNECT_S = 5.0  # for TCP and for TLS
_GOODBYE_S = 2.0  # for writing what is queued when closing
_BACKLOG = 10_000  # QoS 0 messages that wait for a busy event loop; QoS 1 is bounded by the broker's window


@asynccontextmanager
async def connect(
    address: BrokerAddress,
    client_id: str,
    *,
    will: tuple[str, bytes] | None = None,
    clean_session: bool = True,
    keepalive_s: int = 30,
    wait: bool = True,
) -> AsyncIterator[Link]:
    """A link to the broker for the length of the block; a lost connection is made again with growing pauses.

    Args:
        address: Where the broker is, with credentials and certificates.
        client_id: Unique at the broker: it ends an older connection of the same name.
        will: Topic and payload that the broker publishes, retained, if this link dies without leaving the block.
        clean_session: With False the broker keeps subscriptions and unacknowledged QoS 1 messages for the next
            link of the same client id; those that come before their ``subscribe`` are held for it, and stale
            filters must be ended by ``Link.unsubscribe``.
        keepalive_s: After this silence the connection counts as lost.
        wait: Enter when the broker is reachable, however long that takes; False enters at once.

    Raises:
        BadInput: a certificate or key file cannot be read.
        Unauthorized: the broker refuses the credentials (only with ``wait``; else it is tried again).
        Untrusted: the broker's certificate is not trusted (only with ``wait``).
    """
    client = _Client(client_id=client_id, clean_session=clean_session)
    client.configure(address, will, keepalive_s)
    thread = _NetworkThread(client, f"{address.host}:{address.port}")
    link = Link(thread, name=client_id, persistent=not clean_session, max_payload_bytes=MAX_PAYLOAD_BYTES)
    thread.start(link)
    try:
        if wait:
            await link.ready()
        yield link
    finally:
        link.close()
        await thread.stop()


class _Client(paho.Client):
    """Paho's client, set up once."""

    def __init__(self, client_id: str, *, clean_session: bool) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=clean_session,
            manual_ack=True,
            reconnect_on_failure=False,  # our thread does that
        )
        self.max_inflight_messages_set(IN_FLIGHT)

    def configure(self, address: BrokerAddress, will: tuple[str, bytes] | None, keepalive_s: int) -> None:
        """Take what the connection needs to know. Raises BadInput for files that cannot be used."""
        if will is not None:
            self.will_set(*will, qos=1, retain=True)
        if address.credentials is not None:
            self.username_pw_set(*address.credentials)
        self._tls = client_context(address) if address.tls else None
        self.connect_async(address.host, address.port, keepalive_s)

    def _create_socket(self) -> BufferedSocket:
        """Connect as paho would, but at once with TLS, which closes the socket if the broker is not trusted.

        Without TCP_NODELAY small messages wait for each other: milliseconds at a few hundred a second.
        """
        connection = socket.create_connection((self.host, self.port), _CONNECT_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return BufferedSocket(self._tls.wrap_socket(connection, server_hostname=self.host) if self._tls else connection)

    def free(self) -> None:
        """Close every socket and break every reference cycle now: the garbage collector would complain of them."""
        self._reset_sockets()
        self.on_connect = self.on_disconnect = self.on_message = self.on_publish = None
        self.on_subscribe = self.on_unsubscribe = self.on_socket_register_write = None


class _NetworkThread:
    """The thread that reads and writes, and the only one in which paho's callbacks run."""

    def __init__(self, client: _Client, broker: str) -> None:
        self._client, self._broker = client, broker
        self._loop = asyncio.get_running_loop()
        self._connection = 0  # changes whenever a connection is made or lost, before anybody is told
        self._refused: TidemillError | None = None
        self._pause_s = _FIRST_RETRY_S
        self._closing = threading.Event()
        self._give_up_at_s = math.inf
        self._posted: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._wake_posted = False
        self._thread = threading.Thread(target=self._run, name=f"mqtt {broker}", daemon=True)

    def start(self, link: Link) -> None:
        """Connect, and go on until stopped; what happens is told to the link, on the event loop."""
        self._link = link
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.on_publish = lambda _c, _u, mid, _r, _p: self._post(link.published, mid)
        self._client.on_subscribe = self._on_subscribe
        self._client.on_unsubscribe = lambda _c, _u, mid, _r, _p: self._post(link.unsubscribed, mid)
        self._client.on_socket_register_write = _leave_writing_to_the_thread
        self._thread.start()

    async def stop(self) -> None:
        """Say goodbye to the broker, and wait for the thread's end."""
        self._give_up_at_s = time.monotonic() + _GOODBYE_S
        self._closing.set()
        with suppress(OSError):  # the thread may have closed the connection at this very moment
            self._client.disconnect()
        await asyncio.to_thread(self._thread.join, _CONNECT_S + _GOODBYE_S)

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> int:
        """Queue a message."""
        while True:
            queued = self._client.publish(topic, payload, qos=qos, retain=retain)
            if queued.rc != MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:  # its packet id was that of one still in flight
                return queued.mid

    def subscribe(self, topic_filter: str, qos: int) -> int:
        """Queue a SUBSCRIBE."""
        return self._client.subscribe(topic_filter, qos)[1] or 0

    def unsubscribe(self, topic_filter: str) -> int:
        """Queue an UNSUBSCRIBE."""
        return self._client.unsubscribe(topic_filter)[1] or 0

    def send_ack(self, message: Message) -> None:
        """Queue a PUBACK, unless it would go to another connection than the one that waits for it."""
        if message.connection == self._connection:
            self._client.ack(message.packet_id, message.qos)

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                trouble = self._serve_connection()
                self._post(self._link.went_down, trouble)
                self._closing.wait(random.uniform(self._pause_s / 2, self._pause_s))
                self._pause_s = min(self._pause_s * 2, _LAST_RETRY_S)
        finally:
            self._client.free()

    def _serve_connection(self) -> TidemillError:
        """Connect and serve until it breaks; returns why."""
        self._refused = None
        try:
            self._client.reconnect()
        except ssl.SSLCertVerificationError as error:
            return Untrusted(f"the certificate of the broker at {self._broker} is not trusted: {error.verify_message}")
        except (OSError, ValueError) as error:  # ValueError: a host name that cannot be one
            return Unreachable(f"the broker at {self._broker} cannot be reached: {error}")
        if self._closing.is_set():
            self._client.disconnect()  # when we were told to, there was no connection to end
        while self._client.loop(1.0) == MQTTErrorCode.MQTT_ERR_SUCCESS and time.monotonic() < self._give_up_at_s:
            pass
        return self._refused or Unreachable(f"the connection to the broker at {self._broker} was lost")

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

    def _on_connect(self, _client: object, _data: object, _flags: object, reason: ReasonCode, _props: object) -> None:
        if reason.is_failure:
            refusal = f"the broker at {self._broker} refuses the connection: {reason.getName()}"
            credentials = reason.getName() in {"Bad user name or password", "Not authorized"}
            self._refused = Unauthorized(refusal) if credentials else Unreachable(refusal)
        else:
            self._connection += 1
            self._pause_s = _FIRST_RETRY_S
            self._post(self._link.came_up)

    def _on_disconnect(self, *_: object) -> None:
        self._connection += 1

    def _on_subscribe(
        self, _client: object, _data: object, mid: int, reasons: list[ReasonCode], _props: object
    ) -> None:
        granted = not any(reason.is_failure for reason in reasons)
        self._post(lambda: self._link.subscribed(mid, granted=granted))

    def _on_message(self, _client: object, _data: object, received: paho.MQTTMessage) -> None:
        if received.qos == 0 and len(self._posted) > _BACKLOG:
            self._link.dropped += 1
            return
        message = Message(
            topic=_topic_of(received),
            payload=bytes(received.payload),
            qos=received.qos,
            retain=received.retain,
            dup=received.dup,
            packet_id=received.mid,
            connection=self._connection,
        )
        self._post(self._link.arrived, message)


def _topic_of(received: paho.MQTTMessage) -> str:
    try:
        return received.topic
    except UnicodeDecodeError:
        return ""  # which no subscription takes


def _leave_writing_to_the_thread(*_: object) -> None:
    """While somebody listens for this, paho never writes from the thread that publishes."""
