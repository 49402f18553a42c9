"""MQTT 3.1.1 by hand, for the side that measures: it must cost far less than what is measured."""

import select
import socket
import struct
from time import perf_counter

_PIECE_BYTES = 256 * 1024
_PUBLISH, _QOS_BITS, _PUBACK = 0x30, 0x06, b"\x40\x02"


class Wire:
    """A connection on which packets are written and read in large pieces; QoS 1 is acknowledged at once."""

    def __init__(self, port: int, name: str) -> None:
        """Connect to the broker on loopback, with a clean session and no keepalive."""
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""
        self.send(_packet(0x10, _text("MQTT") + b"\x04\x02\x00\x00" + _text(name)))
        self._expect(4)

    def subscribe(self, topic: str, qos: int) -> None:
        """Return when the broker has granted it; to be called before anything is published."""
        self.send(_packet(0x82, b"\x00\x01" + _text(topic) + bytes([qos])))
        self._expect(5)

    def send(self, packets: bytes) -> None:
        """Write packets."""
        self._socket.sendall(packets)

    def receive(self, timeout_s: float) -> list[bytes]:
        """The payloads that are there, or come first within that time; none when it is over."""
        until_s = perf_counter() + timeout_s
        while select.select([self._socket], [], [], max(0.0, until_s - perf_counter()))[0]:
            if not (piece := self._socket.recv(_PIECE_BYTES)):
                raise ConnectionError("the broker closed the connection")
            payloads, acknowledgements, self._rest = _read(self._rest + piece)
            if acknowledgements:
                self._socket.sendall(acknowledgements)
            if payloads:
                return payloads
        return []

    def close(self) -> None:
        """Say goodbye."""
        self._socket.sendall(b"\xe0\x00")
        self._socket.close()

    def _expect(self, size_bytes: int) -> None:
        answer = self._socket.recv(size_bytes, socket.MSG_WAITALL)
        if len(answer) != size_bytes or answer[-1] > 1:
            raise ConnectionError(f"the broker answered {answer!r}")


class Publisher:
    """Makes PUBLISH packets of one topic quickly: all have the same length."""

    def __init__(self, topic: str, qos: int, payload_bytes: int) -> None:
        body = _text(topic)
        self._qos = qos
        rest = len(body) + 2 * qos + payload_bytes
        self._head = bytes([_PUBLISH | qos << 1]) + _length(rest) + body

    def packet(self, number: int, payload: bytes) -> bytes:
        """One message; at QoS 1 its packet id comes of its number."""
        if self._qos:
            return self._head + struct.pack(">H", number % 65535 + 1) + payload
        return self._head + payload


def _read(buffer: bytes) -> tuple[list[bytes], bytes, bytes]:
    """Payloads, acknowledgements to send, and what is left of an unfinished packet. Written for speed."""
    payloads: list[bytes] = []
    acknowledgements: list[bytes] = []
    at, end = 0, len(buffer)
    while end - at >= 2:
        kind, length, start = buffer[at], buffer[at + 1], at + 2
        if length > 127:  # two bytes are enough for all that is sent here
            if end - at < 3:
                break
            length, start = length - 128 + buffer[start] * 128, start + 1
        stop = start + length
        if stop > end:
            break
        if kind & 0xF0 == _PUBLISH:
            start += 2 + buffer[start + 1]  # topics are shorter than 256 bytes
            if kind & _QOS_BITS:
                acknowledgements.append(_PUBACK + buffer[start : start + 2])
                start += 2
            payloads.append(buffer[start:stop])
        at = stop
    return payloads, b"".join(acknowledgements), buffer[at:]


def _packet(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + _length(len(body)) + body


def _length(length: int) -> bytes:
    return bytes([length]) if length < 128 else bytes([length % 128 | 128, length // 128])


def _text(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()
