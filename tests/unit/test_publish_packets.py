"""PUBLISH packets: as paho writes and reads them, whole or not at all."""

import paho.mqtt.client as paho
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion

from transport.publish_packets import read_puback, read_publish, repeated, write_puback, write_publish

TOPICS = st.text(st.characters(exclude_characters="+#\x00", exclude_categories=["Cs"]), min_size=1, max_size=60)
SIZES = st.one_of(st.integers(0, 300), st.sampled_from([16_380, 16_383, 16_384, 70_000, 2_097_150]))


class Wire(paho.Client):
    """Paho, whose packets are looked at and not sent."""

    def __init__(self) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, "wire")
        self.written = b""

    def _packet_queue(self, command: int, packet: bytes, mid: int, qos: int, info: object = None) -> object:  # type: ignore[override]
        del command, mid, qos, info
        self.written += bytes(packet)
        return paho.MQTT_ERR_SUCCESS

    def packet(self, topic: str, payload: bytes, *, qos: int, retain: bool, dup: bool) -> bytes:
        """A PUBLISH as paho writes it."""
        self.written = b""
        self._sock = object()  # type: ignore[assignment]
        self._send_publish(1234, topic.encode(), payload, qos, retain, dup)
        self._sock = None
        return self.written


@given(TOPICS, SIZES, st.integers(0, 1), st.booleans(), st.booleans())
def test_what_paho_writes_is_read(topic: str, size: int, qos: int, retain: bool, dup: bool) -> None:
    """Wherever it stands in a buffer; and of a piece of it nothing is read."""
    payload = bytes(size)
    packet = Wire().packet(topic, payload, qos=qos, retain=retain, dup=dup)
    buffer = b"\xd0\x00" + packet + b"\xd0"
    found = read_publish(buffer, 2)
    assert found is not None
    told, end = found
    assert told == (topic, payload, qos, retain, dup, 1234 if qos else 0)
    assert end == 2 + len(packet)
    for cut in {0, 1, 2, 3, len(packet) // 2, len(packet) - 1}:
        assert read_publish(packet[:cut], 0) is None


@given(TOPICS | st.just("x/" * 2000), SIZES, st.integers(0, 1), st.booleans())
def test_it_is_written_as_paho_does(topic: str, size: int, qos: int, retain: bool) -> None:
    """To the last byte, also when it is sent once more."""
    payload = bytes(size)
    packet = write_publish(topic, payload, retain=retain, packet_id=1234 * qos)
    assert packet == Wire().packet(topic, payload, qos=qos, retain=retain, dup=False)
    if qos:
        assert repeated(packet) == Wire().packet(topic, payload, qos=qos, retain=retain, dup=True)


@given(st.binary(max_size=200), st.integers(0, 20))
def test_no_bytes_do_harm(buffer: bytes, start: int) -> None:
    """Whatever comes: it is a whole message, or it is left for paho."""
    found = read_publish(buffer, start)
    assert found is None or start < found[1] <= len(buffer)


def test_what_is_left_for_paho() -> None:
    """Other packets, QoS 2, a topic that is no text, lengths of more than four bytes; and topics to be looked at."""
    assert read_publish(b"\xd0\x00", 0) is None
    assert read_publish(Wire().packet("a", b"", qos=2, retain=False, dup=False), 0) is None
    assert read_publish(b"\x30\x04\x00\x01\xffx", 0) is None
    assert read_publish(b"\x30\xff\xff\xff\xff\x01", 0) is None
    assert read_publish(b"\x30\x03\x00\x09a", 0) is None
    assert read_publish(b"\x32\x03\x00\x01a", 0) is None
    for topic in ("", "a/+", "a/#", "x" * 70_000, "a\x00b"):
        assert write_publish(topic, b"", retain=False) is None


@given(st.integers(1, 65_535))
def test_an_acknowledgement_names_its_packet(packet_id: int) -> None:
    """As MQTT 3.1.1 §3.4 has it, whole and wherever it stands; longer ones are MQTT 5's, and for paho."""
    packet = write_puback(packet_id)
    assert packet == b"\x40\x02" + packet_id.to_bytes(2, "big")
    assert read_puback(b"\xd0\x00" + packet + b"\x40", 2) == packet_id
    for cut in range(4):
        assert read_puback(packet[:cut], 0) is None
    assert read_puback(b"\x40\x03" + packet[2:] + b"\x00", 0) is None
    assert read_puback(b"\x50" + packet[1:], 0) is None
