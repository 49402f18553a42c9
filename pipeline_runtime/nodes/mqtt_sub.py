"""The mqtt_sub node: starts a run with each message, or, in the middle of one, waits for the next message."""

from collections.abc import Awaitable
from typing import Annotated, Literal

from pydantic import AfterValidator

from pipeline_runtime.node_type import Fittings, Links, Node, NodeParams, NodeType
from pipeline_runtime.run import Run
from schemas.names import Duration
from schemas.topics import check_filter


class Params(NodeParams):
    """What to listen to."""

    topic: Annotated[str, AfterValidator(check_filter)]
    qos: Literal[0, 1] = 1  # of a root; in the middle it is 0, see engine.py
    timeout_s: Duration = 60.0  # in the middle of a run: how long to wait

    def links(self) -> Links:
        """The topic it listens to."""
        return Links(subscribes=self.topic, qos=self.qos)


class MqttSub(Node):
    """In the middle of a run: the next message on the topic once the inputs are there; oldest run first."""

    def __init__(self, params: Params, fittings: Fittings) -> None:
        self._node = fittings.node
        self._timeout_s = params.timeout_s

    def resolve(self, _value: object, run: Run, /) -> Awaitable[object]:
        """Wait for the message."""
        return run.next_message(self._node, self._timeout_s)


NODE = NodeType(
    name="mqtt_sub",
    params=Params,
    make=MqttSub,
    doc="Starts a run with each message of a topic; with inputs, waits for the next message once they are there.",
    example="{id: in, type: mqtt_sub, topic: iris/read}",
    starts_runs=True,
)
