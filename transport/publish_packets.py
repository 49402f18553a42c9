"""PUBLISH and PUBACK packets of MQTT 3.1.1 (§3.3, §3.4), read from a buffer and written into one. Pure.

Most packets are of these. What is not whole, of QoS 2, or anything else is left for paho, which owns the connection.
"""

from functools import lru_cache

PUBLISH, PUBACK = 0x30, 0x40
_DUP, _QOS_1, _QOS_2, _RETAIN = 0x08, 0x02, 0x04, 0x01
_LONGEST_TOPIC_BYTES = 65_535
_LONGEST_KEPT = 300  # bytes or characters of topics that are kept: 64 kB of each would be 256 MB


Published = tuple[str, bytes, int, bool, bool, int]
"""A message as it stands in a packet: topic, payload, QoS, retain, dup, packet id; as the fields of a message begin."""


def read_publish(buffer: bytes, start: int) -> tuple[Published, int] | None:
    """The PUBLISH that begins at a place of a buffer, and where it ends; None if there is none that is whole.

    Also for one of QoS 2, or that is malformed: who reads it otherwise says what is wrong.
    """
    size = len(buffer)
    if start >= size:
        return None
    first = buffer[start]
    if first & 0xF0 != PUBLISH or first & _QOS_2:
        return None
    length, at, shift = 0, start + 1, 0
    while True:
        if at >= size or shift > 21:
            return None
        byte = buffer[at]
        length |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            break
        shift += 7
    end = at + length
    qos = 1 if first & _QOS_1 else 0
    if end > size or length < 2 + 2 * qos:
        return None
    topic_end = at + 2 + (buffer[at] << 8 | buffer[at + 1])
    body = topic_end + 2 * qos
    encoded = buffer[at + 2 : topic_end]
    topic = _topic(encoded) if len(encoded) <= _LONGEST_KEPT else _decoded(encoded)
    if topic is None or body > end:
        return None
    packet_id = buffer[topic_end] << 8 | buffer[topic_end + 1] if qos else 0
    return (topic, buffer[body:end], qos, bool(first & _RETAIN), bool(first & _DUP), packet_id), end


def _decoded(topic: bytes) -> str | None:
    try:
        return topic.decode()
    except UnicodeDecodeError:
        return None


_topic = lru_cache(maxsize=4096)(_decoded)


def write_publish(topic: str, payload: bytes, *, retain: bool, packet_id: int = 0) -> bytes | None:
    """A PUBLISH of QoS 1, or of QoS 0 without a packet id; None for a topic that is none."""
    head = _head(topic) if len(topic) <= _LONGEST_KEPT else _checked(topic)
    if head is None:
        return None
    first = PUBLISH | retain
    if packet_id:
        first |= _QOS_1
        head += packet_id.to_bytes(2, "big")
    length = len(head) + len(payload)
    if length < 128:
        return bytes((first, length)) + head + payload
    digits = bytearray((first,))
    while length >= 128:
        digits.append(length & 0x7F | 0x80)
        length >>= 7
    digits.append(length)
    return bytes(digits) + head + payload


def repeated(publish: bytes) -> bytes:
    """A PUBLISH of QoS 1 as it is sent once more."""
    return bytes((publish[0] | _DUP,)) + publish[1:]


def _checked(topic: str) -> bytes | None:
    encoded = topic.encode()
    if not 0 < len(encoded) <= _LONGEST_TOPIC_BYTES or "+" in topic or "#" in topic or "\x00" in topic:
        return None
    return len(encoded).to_bytes(2, "big") + encoded


_head = lru_cache(maxsize=4096)(_checked)


def read_puback(buffer: bytes, start: int) -> int | None:
    """The packet id of the PUBACK that begins at a place of a buffer; None if there is none of four bytes."""
    if len(buffer) < start + 4 or buffer[start] != PUBACK or buffer[start + 1] != 2:
        return None
    return buffer[start + 2] << 8 | buffer[start + 3]


def write_puback(packet_id: int) -> bytes:
    """The answer to a PUBLISH of QoS 1."""
    return bytes((PUBACK, 2, packet_id >> 8, packet_id & 0xFF))
