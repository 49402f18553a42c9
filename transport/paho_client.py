"""The only home of paho-mqtt: its client, set up once, and what it says turned into calls of a link."""

import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, Literal

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from schemas.broker import BrokerAddress
from schemas.errors import TidemillError, Unauthorized, Unreachable, Untrusted
from transport.buffered_socket import BufferedSocket
from transport.link import Link
from transport.outbox import IN_FLIGHT
from transport.publish_packets import PUBLISH, repeated, write_puback, write_publish
from transport.subscription import Message
from transport.tls import client_context

FIRST_RETRY_S, LAST_RETRY_S = 0.2, 30.0
CONNECT_S = 5.0  # for TCP and for TLS
GOODBYE_S = 2.0  # for writing what is queued when closing
_BACKLOG = 10_000  # QoS 0 messages that wait for a busy event loop; QoS 1 is bounded by the broker's window

Post = Callable[..., None]
"""Has a link's method called, on its event loop: ``post(method, *arguments)``."""


class PahoClient(paho.Client):
    """Paho's client. Who drives it calls ``begin`` once, then ``reconnect`` and the ``loop_…`` methods."""

    def __init__(self, client_id: str, *, clean_session: bool) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=clean_session,
            manual_ack=True,
            reconnect_on_failure=False,  # our drivers do that
        )
        self.max_inflight_messages_set(IN_FLIGHT)
        self.refused: TidemillError | None = None  # why the broker did not want the last connection
        self.posted: Callable[[], int] = lambda: 0  # how many calls wait for the event loop
        self.accepted = 0  # how many connections it wanted
        self._unacknowledged: dict[int, bytes] = {}  # packets that were written past paho, by packet id; oldest first
        self._connection = 0  # changes whenever a connection is made or lost, before anybody is told

    def configure(self, address: BrokerAddress, will: tuple[str, bytes] | None, keepalive_s: int) -> None:
        """Take what the connection needs to know. Raises BadInput for files that cannot be used."""
        if will is not None:
            self.will_set(*will, qos=1, retain=True)
        if address.credentials is not None:
            self.username_pw_set(*address.credentials)
        self._tls = client_context(address) if address.tls else None
        self._broker = f"{address.host}:{address.port}"
        self.connect_async(address.host, address.port, keepalive_s)

    def begin(self, link: Link, post: Post, want_write: Callable[[], None], *, tell_written: bool) -> None:
        """Tell the link what happens.

        Args:
            link: Whom to tell.
            post: How its methods are called.
            want_write: Called when there is something to write; for that, paho never writes where somebody publishes.
            tell_written: Tell of QoS 0 messages that were written; it takes paho some microseconds each.
        """
        self._link, self._post, self._want_write = link, post, want_write
        if tell_written:
            self.on_publish = lambda _c, _u, mid, _r, _p: post(link.published, mid)
        self.on_connect = self._connected
        self.on_disconnect = self._disconnected
        self.on_message = self._received
        self.on_subscribe = self._subscribed
        self.on_unsubscribe = lambda _c, _u, mid, _r, _p: post(link.unsubscribed, mid)
        self.on_socket_register_write = lambda *_: want_write()

    @property
    def unread_bytes(self) -> int:
        """How much was read from the network and not looked at yet."""
        return self._sock.pending() if isinstance(self._sock, BufferedSocket) else 0

    def send(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> int:
        """Queue a message; returns its packet id."""
        while True:
            queued = self.publish(topic, payload, qos=qos, retain=retain)
            if queued.rc != MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:  # its packet id was that of one still in flight
                return queued.mid

    def send_at_once(self, topic: str, payload: bytes, *, retain: bool) -> bool:
        """Write a message of QoS 0 past paho; False if paho has to do it: it has to go behind what waits there."""
        connection = self._sock
        if not isinstance(connection, BufferedSocket) or not connection.collecting or self._out_packet:
            return False
        packet = write_publish(topic, payload, retain=retain)
        if packet is None:
            return False
        connection.send(packet)
        return True

    def send_until_acknowledged(self, topic: str, payload: bytes, *, retain: bool) -> int:
        """Write a message of QoS 1 past paho, and again with each ``send_again``; returns its packet id."""
        while (packet_id := self._mid_generate()) in self._unacknowledged:
            pass
        packet = write_publish(topic, payload, retain=retain, packet_id=packet_id)
        if packet is None:
            return self.send(topic, payload, qos=1, retain=retain)  # it says what is wrong
        self._unacknowledged[packet_id] = packet
        self._write(packet)
        return packet_id

    def send_again(self) -> None:
        """Write what was written past paho to earlier connections and is not acknowledged (MQTT 3.1.1 §4.4)."""
        for packet in self._unacknowledged.values():
            self._write(repeated(packet))

    def give_up(self, packet_id: int) -> bool:
        """Do not write a message again; False if it was not written past paho."""
        return self._unacknowledged.pop(packet_id, None) is not None

    def _write(self, packet: bytes) -> None:
        """Nothing is written while there is no connection: the next one gets it."""
        connection = self._sock
        if not isinstance(connection, BufferedSocket) or not connection.collecting:
            return
        if self._out_packet:
            self._packet_queue(PUBLISH, packet, 0, 1)  # behind what waits there
        else:
            connection.send(packet)
            self._want_write()

    def take_at_once(self) -> bool:
        """Take messages and PUBACKs that have come whole past paho, which makes objects of each; it reads the rest.

        Returns:
            Whether there were any.
        """
        connection = self._sock
        if not isinstance(connection, BufferedSocket) or self._in_packet["command"] != 0:  # it is within a packet
            return False
        heard = False
        connection.fill()
        while self._sock is connection:
            if (published := connection.take_publish()) is not None:
                self._post(self._link.arrived, Message(*published, self._connection))
            elif (packet_id := connection.take_puback(self._unacknowledged)) is not None:
                self._forget(packet_id)
            else:
                break
            heard = True
        if heard:
            with self._msgtime_mutex:
                self._last_bytes_received = time.monotonic()  # or paho would take the broker for dead
        return heard

    def _forget(self, packet_id: int) -> None:
        """It is acknowledged."""
        del self._unacknowledged[packet_id]
        self._post(self._link.published, packet_id)

    def acknowledge(self, message: Message) -> None:
        """Queue a PUBACK, unless it would go to another connection than the one that waits for it."""
        if message.connection != self._connection:
            return
        connection = self._sock
        if isinstance(connection, BufferedSocket) and connection.collecting:
            connection.send(write_puback(message.packet_id))
            self._want_write()
        else:
            self.ack(message.packet_id, message.qos)

    def free(self) -> None:
        """Close every socket and break every reference cycle now: the garbage collector would complain of them."""
        self._reset_sockets()
        self.on_connect = self.on_disconnect = self.on_message = self.on_publish = None
        self.on_subscribe = self.on_unsubscribe = self.on_socket_register_write = None

    def _create_socket(self) -> BufferedSocket:
        """Connect as paho would, but at once with TLS, which closes the socket if the broker is not trusted.

        Without TCP_NODELAY small messages wait for each other: milliseconds at a few hundred a second.
        """
        connection = socket.create_connection((self.host, self.port), CONNECT_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return BufferedSocket(self._tls.wrap_socket(connection, server_hostname=self.host) if self._tls else connection)

    def _connected(self, _client: object, _data: object, _flags: object, reason: ReasonCode, _props: object) -> None:
        if reason.is_failure:
            refusal = f"the broker at {self._broker} refuses the connection: {reason.getName()}"
            credentials = reason.getName() in {"Bad user name or password", "Not authorized"}
            self.refused = Unauthorized(refusal) if credentials else Unreachable(refusal)
        else:
            self.accepted += 1
            self._connection += 1
            self._post(self._link.came_up)

    def _disconnected(self, *_: object) -> None:
        self._connection += 1

    def _subscribed(self, _client: object, _data: object, mid: int, reasons: list[ReasonCode], _props: object) -> None:
        granted = not any(reason.is_failure for reason in reasons)
        self._post(self._answer_subscription, mid, granted)

    def _answer_subscription(self, mid: int, granted: bool) -> None:
        self._link.subscribed(mid, granted=granted)

    def _received(self, _client: object, _data: object, received: paho.MQTTMessage) -> None:
        if received.qos == 0 and self.posted() > _BACKLOG:
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

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        """One that has not come whole may be for a message that was written past paho."""
        packet_id = int.from_bytes(self._in_packet["packet"][:2], "big")
        if cmd == "PUBACK" and packet_id in self._unacknowledged:
            self._forget(packet_id)
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        return super()._handle_pubackcomp(cmd)

    def _do_on_publish(self, mid: int, reason_code: Any, properties: Any) -> MQTTErrorCode:  # noqa: ANN401 - paho's
        """A PUBACK came; paho tells of it with what it tells of QoS 0, or not at all."""
        done = super()._do_on_publish(mid, reason_code, properties)
        if self.on_publish is None:
            self._post(self._link.published, mid)
        return done


def greet_mqtt5(address: BrokerAddress, client_id: str) -> dict[str, Any] | None:
    """What the broker says of itself when a client connects with MQTT 5; None if it does not want one. Blocks.

    Raises OSError when it cannot be reached.
    """
    said: list[dict[str, Any] | None] = []

    def told(_client: object, _data: object, _flags: object, reason: ReasonCode, properties: Any) -> None:  # noqa: ANN401
        said.append(None if reason.is_failure else vars(properties))

    client = paho.Client(CallbackAPIVersion.VERSION2, client_id, protocol=paho.MQTTv5, reconnect_on_failure=False)
    if address.credentials is not None:
        client.username_pw_set(*address.credentials)
    if address.tls:
        client.tls_set_context(client_context(address))
    client.on_connect = told
    client.connect_timeout = CONNECT_S
    client.connect(address.host, address.port)
    give_up_at_s = time.monotonic() + CONNECT_S
    while not said and client.loop(0.2) == MQTTErrorCode.MQTT_ERR_SUCCESS and time.monotonic() < give_up_at_s:
        pass
    client.disconnect()
    client.loop(0.1)
    return said[0] if said else None


def not_connected(broker: str, error: OSError | ValueError) -> TidemillError:
    """Why there is no connection; a ValueError is a host name that cannot be one."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Untrusted(f"the certificate of the broker at {broker} is not trusted: {error.verify_message}")
    return Unreachable(f"the broker at {broker} cannot be reached: {error}")


def _topic_of(received: paho.MQTTMessage) -> str:
    try:
        return received.topic
    except UnicodeDecodeError:
        return ""  # which no subscription takes
