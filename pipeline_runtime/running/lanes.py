"""The lanes of a pipeline: one for each root, and one behind each node that may begin runs by itself."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

from pipeline_runtime.broker import Message
from pipeline_runtime.node_type import RootNode
from pipeline_runtime.nodes.mqtt_sub import MqttSub
from pipeline_runtime.running.inbox import Inbox
from pipeline_runtime.running.lane import Lane, lane_steps
from pipeline_runtime.running.loaded import Loaded
from pipeline_runtime.running.statistics import NodeStatistics
from pipeline_runtime.running.turns import Orders
from pipeline_runtime.values.payloads import encode


def lanes_of(
    loaded: Loaded,
    orders: Mapping[str, Orders],
    inboxes: Mapping[str, Inbox],
    statistics: Mapping[str, NodeStatistics],
) -> dict[str, Lane]:
    """Every lane by what its messages come by: a topic filter, or ``emitted_by`` a node."""
    filters = loaded.plan.filters
    lanes = {}
    for step in loaded.plan.steps:
        node, below = loaded.nodes[step.id].node, loaded.plan.routes[step.id]
        is_root = step.id in loaded.plan.roots
        if is_root and isinstance(node, RootNode):
            key, root, order = filters[step.id], node, orders[filters[step.id]]
        elif below:
            key, root, order = emitted_by(step.id), _Emitter(), Orders()
        else:
            continue
        middle = {other.id: inboxes[filters[other.id]] for other in below if other.id in filters}
        for other_id, inbox in middle.items():
            if isinstance(listener := loaded.nodes[other_id].node, MqttSub):
                inbox.correlation = listener.correlation
        lanes[key] = Lane(
            key=key,
            root_id=step.id,
            root=root,
            root_statistics=statistics[step.id] if is_root else NodeStatistics(),
            steps=lane_steps(step.id, [loaded.nodes[other.id] for other in below], statistics),
            orders=order,
            inboxes=middle,
            loaded=loaded,
        )
    return lanes


def emitted_by(node: str) -> str:
    """The key of the lane behind a node; no topic filter has a NUL."""
    return f"\0{node}"


def emission(node: str, value: object, settled: Callable[[], None]) -> tuple[str, Message]:
    """A value as a message that no broker brought, with the key of its lane."""
    return emitted_by(node), _Emitted(value, settled)


@dataclass(slots=True)
class _Emitted:
    value: object
    settled: Callable[[], None]
    topic: str = ""
    qos: int = 1  # never dropped
    dup: bool = False
    packet_id: int = 0

    @property
    def payload(self) -> bytes:
        return encode(self.value)

    def ack(self) -> None:
        """Tell the node."""
        self.settled()


class _Emitter(RootNode):
    """Stands for a node that begins runs by itself."""

    def read(self, message: Message, /) -> object:
        """What was emitted."""
        assert isinstance(message, _Emitted)  # noqa: S101 - nothing else has this lane's key
        return message.value

    def levels(self, _topic: str, /) -> Mapping[str, str]:
        """There are none."""
        return {}

    def key(self, _value: object, _levels: Mapping[str, str], /) -> Hashable:
        """All in one order."""
        return None
