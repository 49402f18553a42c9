"""A node type of our own."""

from typing import Annotated

from pydantic import Field

from pipeline_runtime.node_type import SKIPPED, Fittings, Node, NodeParams, NodeType
from pipeline_runtime.running.run import Run
from schemas.errors import BadPayload


class Params(NodeParams):
    """What is let through."""

    field: Annotated[str, Field(description="The field that is looked at.")]
    limit: Annotated[float, Field(description="What it must be above, in the field's own unit.")]


class Threshold(Node):
    """Gives its input on, or nothing."""

    def __init__(self, params: Params, _: Fittings) -> None:
        self._params = params

    def resolve(self, value: object, _: Run, /) -> object:
        """The input itself, if the field is above the limit."""
        reading = value.get(self._params.field) if isinstance(value, dict) else None
        if not isinstance(reading, int | float):
            raise BadPayload(f"{self._params.field} is no number")
        return value if reading > self._params.limit else SKIPPED


NODE = NodeType(
    name="threshold",
    params=Params,
    make=Threshold,
    doc="Lets pass what is above a limit.",
    example="{id: hot, type: threshold, field: temperature, limit: 80, inputs: [in]}",
    may_skip=True,
)
