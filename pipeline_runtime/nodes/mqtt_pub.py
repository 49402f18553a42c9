"""The mqtt_pub node: publishes its input as JSON."""

from collections.abc import Awaitable
from typing import Annotated, Literal

from pydantic import AfterValidator

from pipeline_runtime.broker import Publication
from pipeline_runtime.node_type import Fittings, Links, Node, NodeParams, NodeType
from pipeline_runtime.payloads import encode
from pipeline_runtime.run import Run
from schemas.topics import check_topic


class Params(NodeParams):
    """Where to publish."""

    topic: Annotated[str, AfterValidator(check_topic)]
    qos: Literal[0, 1] = 1
    retain: bool = False
    ordered: bool = True  # answers leave in the order in which their messages came

    def links(self) -> Links:
        """The topic it publishes on."""
        return Links(publishes=self.topic)


class MqttPub(Node):
    """Publishes; its own result is what it published, so that a node behind it may wait for the reply."""

    def __init__(self, params: Params, fittings: Fittings) -> None:
        self._params = params
        self._node = fittings.node

    def resolve(self, value: object, run: Run, /) -> object | Awaitable[object]:
        """Publish at once, unless an earlier message's answer must leave first."""
        answer = Publication(self._params.topic, encode(value), self._params.qos, retain=self._params.retain)
        if not self._params.ordered or run.is_first_at(self._node):
            run.send(self._node, answer)
            return value
        return self._send_in_turn(value, answer, run)

    async def _send_in_turn(self, value: object, answer: Publication, run: Run) -> object:
        await run.turn_at(self._node)
        run.send(self._node, answer)
        return value


NODE = NodeType(
    name="mqtt_pub",
    params=Params,
    make=MqttPub,
    doc="Publishes what it is given; its result is just that.",
    example="{id: out, type: mqtt_pub, topic: iris/write, inputs: [predict]}",
)
