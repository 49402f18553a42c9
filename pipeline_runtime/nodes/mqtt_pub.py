"""The mqtt_pub node: publishes its input."""

from collections.abc import Awaitable, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pipeline_runtime.broker import Publication
from pipeline_runtime.node_type import Fittings, Links, Node, NodeParams, NodeType
from pipeline_runtime.running.run import Run
from pipeline_runtime.values.formats import Format, codec
from pipeline_runtime.values.payloads import shown
from schemas.errors import BadPayload
from schemas.topics import as_filter, check_template, filled, names_in


class Params(NodeParams):
    """Where to publish."""

    topic: Annotated[
        str,
        AfterValidator(check_template),
        Field(
            description="Where to; `{name}` stands for a named level of the message's topic, or a field of the input."
        ),
    ]
    qos: Annotated[Literal[0, 1], Field(description="Of the publication.")] = 1
    retain: Annotated[bool, Field(description="Whether the broker keeps it for those who subscribe later.")] = False
    format: Annotated[Format, Field(description="How the value is written.")] = "json"
    ordered: Annotated[bool, Field(description="Answers leave in the order in which their messages came.")] = True

    def links(self) -> Links:
        """The topic it publishes on; a filter, where only its form is known."""
        return Links(publishes=as_filter(self.topic))


class MqttPub(Node):
    """Publishes; its own result is what it published, so that a node behind it may wait for the reply."""

    def __init__(self, params: Params, fittings: Fittings) -> None:
        self._node, self._topic, self._ordered = fittings.node, params.topic, params.ordered
        self._qos, self._retain = params.qos, params.retain
        self._encode = codec(params.format).encode
        self._names = names_in(params.topic)

    def resolve(self, value: object, run: Run, /) -> object | Awaitable[object]:
        """Publish at once, unless an earlier message's answer must leave first."""
        topic = self._filled(value, run) if self._names else self._topic
        answer = Publication(topic, self._encode(value), self._qos, self._retain)
        return value if run.send(self._node, answer, in_turn=self._ordered) else self._send_in_turn(value, answer, run)

    async def _send_in_turn(self, value: object, answer: Publication, run: Run) -> object:
        await run.turn_at(self._node)
        run.send(self._node, answer, in_turn=True)
        return value

    def _filled(self, value: object, run: Run) -> str:
        fields = value if isinstance(value, Mapping) else {}
        levels = {name: _level(name, run.values, fields) for name in self._names}
        try:
            return filled(self._topic, levels)
        except ValueError as error:
            raise BadPayload(str(error)) from error


def _level(name: str, levels: Mapping[str, str], fields: Mapping[object, object]) -> str:
    """What a name in a topic stands for. Raises BadPayload."""
    if name in levels:
        return levels[name]
    if name not in fields:
        raise BadPayload(f"{{{name}}} in the topic is neither a level of the message's topic nor a field of the input")
    found = fields[name]
    if isinstance(found, bool) or not isinstance(found, str | int):
        raise BadPayload(f"{{{name}}} is {shown(found, 100)}; a level of a topic is a text or a whole number")
    return str(found)


NODE = NodeType(
    name="mqtt_pub",
    params=Params,
    make=MqttPub,
    doc="Publishes what it is given; its result is just that.",
    example="{id: out, type: mqtt_pub, topic: iris/write, inputs: [predict]}",
)
