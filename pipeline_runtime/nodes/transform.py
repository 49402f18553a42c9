"""The transform node: makes something else of its input with an expression."""

from pydantic import Field

from pipeline_runtime.language.expressions import Expression, ExpressionText
from pipeline_runtime.node_type import Fittings, Node, NodeParams, NodeType
from pipeline_runtime.running.run import Run


class Params(NodeParams):
    """What to make."""

    expression: ExpressionText = Field(description="JSONata; its result is the node's, and nothing becomes `null`.")


class Transform(Node):
    """Gives what the expression makes of the input."""

    def __init__(self, params: Params, _fittings: Fittings) -> None:
        self._expression = Expression(params.expression)

    def resolve(self, value: object, run: Run, /) -> object:
        """The expression's result."""
        return self._expression.evaluate(value, run.message.topic, run.values)


NODE = NodeType(
    name="transform",
    params=Params,
    make=Transform,
    doc="Makes something else of its input with a JSONata expression.",
    example="{id: fahrenheit, type: transform, expression: '{\"t\": temperature * 1.8 + 32}', inputs: [in]}",
)
