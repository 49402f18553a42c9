"""What becomes of messages above the limit: they are acknowledged, counted where they belong, and told in the log."""

import logging

import pytest

from pipeline_runtime.nodes.mqtt_sub import Params
from transport.inbox import Inbox
from transport.mqtt import MAX_PAYLOAD_BYTES
from transport.subscription import Listener, Message

LIMIT = 100


class Desk:
    """An inbox, with what it handed to a listener and what it told the broker."""

    def __init__(self, *, persistent: bool = False) -> None:
        self.acknowledged: list[int] = []
        self.taken: list[bytes] = []
        self.inbox = Inbox(persistent=persistent, max_payload_bytes=LIMIT, send_ack=self._acknowledge)

    def _acknowledge(self, message: Message) -> None:
        self.acknowledged.append(message.packet_id)

    def come(self, topic: str, size: int, packet_id: int) -> None:
        """A message of QoS 1 comes from the broker; QoS 0 if it has no packet id."""
        qos = 1 if packet_id else 0
        self.inbox.deliver(
            Message(topic, bytes(size), qos=qos, packet_id=packet_id, acknowledge=self.inbox.acknowledge)
        )

    def listen(self, topic_filter: str) -> Listener:
        """Take what comes."""

        def take(message: Message) -> None:
            self.taken.append(message.payload)
            message.ack()

        listener = Listener(
            topic_filter, qos=1, take=take, refused=lambda _: None, close=lambda _: None, cease=lambda _: None
        )
        self.inbox.add(listener)
        return listener


@pytest.mark.parametrize("packet_id", [7, 0])
@pytest.mark.parametrize("persistent", [False, True])
def test_a_message_that_is_too_large_is_counted(
    packet_id: int, caplog: pytest.LogCaptureFixture, *, persistent: bool
) -> None:
    """Whether somebody listens already or not; the broker is told, and the log has topic, size and limit."""
    desk = Desk(persistent=persistent)
    with caplog.at_level(logging.WARNING, "transport.inbox"):
        desk.come("t/in", LIMIT + 50, packet_id)
    desk.listen("t/in")
    desk.come("t/in", LIMIT + 1, packet_id)
    desk.come("t/in", LIMIT, 8)
    assert desk.inbox.too_large == 2
    assert desk.taken == [bytes(LIMIT)]
    assert desk.acknowledged == [7, 7, 8][2 * (packet_id == 0) :]
    record = caplog.records[0]
    assert record.getMessage() == "message too large, dropped"
    assert {"topic": "t/in", "size_bytes": LIMIT + 50, "limit_bytes": LIMIT}.items() <= vars(record).items()


def test_the_limit_is_told_where_a_pipeline_is_written() -> None:
    """The runtime does not know of it, for it is that of whoever brings the broker; its words do."""
    assert f"{MAX_PAYLOAD_BYTES:,} bytes" in Params.model_json_schema()["properties"]["format"]["description"]
