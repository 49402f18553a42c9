"""Which messages a mqtt_sub takes for those of one sender, and which reply for that to a question."""

from dataclasses import dataclass

import pytest

from pipeline_runtime.node_type import Fittings
from pipeline_runtime.nodes.mqtt_sub import MqttSub, Params
from pipeline_runtime.values.payloads import decode


@dataclass(frozen=True)
class Reply:
    """A message that came."""

    payload: bytes
    topic: str = "replies"
    qos: int = 0
    dup: bool = False
    packet_id: int = 0

    def ack(self) -> None:
        """Nobody waits for it."""


def node_of(**params: object) -> MqttSub:
    """A mqtt_sub."""
    return MqttSub(Params.model_validate({"topic": "replies"} | params), Fittings("in", {}, {}))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b"1", b"1.0", True),
        (b"1", b"true", False),
        (b"1.0", b"true", False),
        (b"0", b"false", False),
        (b"true", b"true", True),
        (b"true", b"false", False),
        (b'"1"', b"1", False),
        (b'"true"', b"true", False),
    ],
)
def test_keys_are_compared_as_json_compares(one: bytes, other: bytes, same: bool) -> None:
    """True is no number, 1 and 1.0 are the same one: for the order of messages as for replies to questions."""
    ordered, correlated = node_of(order_by="id"), node_of(correlate="id")
    first, second = (b'{"id": %b}' % text for text in (one, other))
    assert (ordered.key(decode(first), {}) == ordered.key(decode(second), {})) is same
    assert (correlated.correlation(Reply(first)) == correlated.correlation(Reply(second))) is same
