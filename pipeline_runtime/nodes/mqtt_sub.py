"""The mqtt_sub node: starts a run with each message, or, in the middle of one, waits for the next message."""

import asyncio
from collections.abc import Awaitable, Hashable, Mapping
from functools import lru_cache, partial
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from pipeline_runtime.broker import Message
from pipeline_runtime.node_type import Fittings, Links, NodeParams, NodeType, RootNode
from pipeline_runtime.running.run import Run
from pipeline_runtime.values.fields import FieldPath, field_of
from pipeline_runtime.values.formats import Format, codec
from schemas.errors import BadPayload
from schemas.names import Duration
from schemas.topics import as_filter, check_pattern, names_in

_TOPICS_REMEMBERED = 4096


class Params(NodeParams):
    """What to listen to."""

    topic: Annotated[
        str,
        AfterValidator(check_pattern),
        Field(description="A topic filter; may hold `+` and `#`, and named levels, as in `factory/{line}/read`."),
    ]
    qos: Annotated[Literal[0, 1], Field(description="Of the subscription; with inputs it is always 0.")] = (
        1  # see engine.py
    )
    format: Annotated[Format, Field(description="How the payload, of at most 1,000,000 bytes, is read.")] = "json"
    order_by: Annotated[
        FieldPath | None,
        Field(
            description="Without inputs: a named level or a field; only messages with the same value wait for each "
            "other's answers."
        ),
    ] = None
    timeout_s: Annotated[Duration, Field(description="With inputs: how long to wait for the message.")] = 60.0
    correlate: Annotated[
        FieldPath | None,
        Field(description="With inputs: the named level or field of the reply that tells which question it answers."),
    ] = None
    correlate_with: Annotated[
        FieldPath | None,
        Field(description="With `correlate`: where the same value stands in the inputs; by default at the same place."),
    ] = None

    @field_validator("correlate_with")
    @classmethod
    def _compared(cls, path: str | None, info: ValidationInfo) -> str | None:
        if path is not None and info.data.get("correlate", "") is None:  # one that is wrong is told of already
            raise ValueError("means nothing without `correlate`, which says where the value stands in the reply")
        return path

    def links(self) -> Links:
        """The topic it listens to."""
        return Links(subscribes=as_filter(self.topic), qos=self.qos, correlated=self.correlate is not None)


class MqttSub(RootNode):
    """Reads messages. In the middle of a run: the next one on the topic once the inputs are there; oldest run first."""

    def __init__(self, params: Params, fittings: Fittings) -> None:
        self._params, self._node = params, fittings.node
        self._decode = codec(params.format).decode
        places = {level.strip("{}"): place for place, level in enumerate(params.topic.split("/")) if level[:1] == "{"}
        self._places = {name: places[name] for name in names_in(params.topic)}
        self._levels = lru_cache(_TOPICS_REMEMBERED)(partial(_levels, self._places))

    def read(self, message: Message, /) -> object:
        """The payload, in its format."""
        return self._decode(message.payload)

    def levels(self, topic: str, /) -> Mapping[str, str]:
        """What stands where the filter has names."""
        return self._levels(topic) if self._places else _NONE

    def key(self, value: object, levels: Mapping[str, str], /) -> Hashable:
        """What the messages are ordered by."""
        return None if self._params.order_by is None else _key(self._params.order_by, value, levels)

    def correlation(self, message: Message) -> Hashable:
        """Which question a message answers; None: any, or none that could be told."""
        if self._params.correlate is None:
            return None
        try:
            return _key(self._params.correlate, self.read(message), self.levels(message.topic))
        except BadPayload:
            return _NOBODY

    def resolve(self, value: object, run: Run, /) -> Awaitable[object]:
        """Wait for the message."""
        path = self._params.correlate_with or self._params.correlate
        question = None if self._params.correlate is None else _key(str(path), value, run.values)
        return self._reply(run.next_message(self._node, question))

    async def _reply(self, coming: "asyncio.Future[Message]") -> object:
        try:
            async with asyncio.timeout(self._params.timeout_s):
                return self.read(await coming)
        except TimeoutError as error:
            raise BadPayload(f"no message came within {self._params.timeout_s:g} s") from error


_NOBODY = object()
_NONE: Mapping[str, str] = {}


def _levels(places: Mapping[str, int], topic: str) -> Mapping[str, str]:
    levels = topic.split("/")
    return {name: levels[place] for name, place in places.items()}


def _key(path: str, value: object, levels: Mapping[str, str]) -> Hashable:
    """What stands there, to be compared as JSON compares: 1 and 1.0 are one number, and true is none."""
    found = levels[path] if path in levels else field_of(value, path)
    if found is None or not isinstance(found, str | int | float | bool):
        raise BadPayload(f"field {path!r} is no text and no number, so messages cannot be told apart by it")
    return (found,) if isinstance(found, bool) else found  # to Python, True and 1 are the same key


NODE = NodeType(
    name="mqtt_sub",
    params=Params,
    make=MqttSub,
    doc="Starts a run with each message of a topic; with inputs, waits for the next message once they are there.",
    example="{id: in, type: mqtt_sub, topic: iris/read}",
    starts_runs=True,
    only_as_root=frozenset({"order_by"}),
    only_with_inputs=frozenset({"timeout_s", "correlate", "correlate_with"}),
)
