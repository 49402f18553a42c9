"""The filter node: hands on what a condition holds for, and drops the rest."""

from pydantic import Field

from pipeline_runtime.language.expressions import Expression, ExpressionText
from pipeline_runtime.node_type import SKIPPED, Fittings, Node, NodeParams, NodeType
from pipeline_runtime.running.run import Run


class Params(NodeParams):
    """What to hand on."""

    where: ExpressionText = Field(description="A JSONata condition; nothing, as of a missing field, is false.")


class Filter(Node):
    """Gives its input, or nothing."""

    def __init__(self, params: Params, _fittings: Fittings) -> None:
        self._where = Expression(params.where)

    def resolve(self, value: object, run: Run, /) -> object:
        """The input if the condition holds."""
        return value if self._where.holds(value, run.message.topic, run.values) else SKIPPED


NODE = NodeType(
    name="filter",
    params=Params,
    make=Filter,
    doc="Hands its input on where a condition holds; otherwise what is behind it is skipped.",
    example="{id: hot, type: filter, where: temperature > 30, inputs: [in]}",
    may_skip=True,
)
