"""The switch node: hands its input on to the branches whose conditions hold."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline_runtime.language.expressions import Expression, ExpressionText
from pipeline_runtime.node_type import Branches, Fittings, Node, NodeParams, NodeType
from pipeline_runtime.running.run import Run
from schemas.names import Identifier


class Params(NodeParams):
    """Which branches there are, and when each is taken."""

    routes: Annotated[dict[Identifier, ExpressionText], Field(min_length=1, max_length=100)] = Field(
        description="Name and JSONata condition of each branch, tried in the order in which they are written."
    )
    otherwise: Identifier | None = Field(None, description="The branch for what no condition holds for.")
    match: Literal["first", "all"] = Field(
        "first", description="Whether the first branch whose condition holds is taken, or all of them."
    )

    @model_validator(mode="after")
    def _otherwise_is_another(self) -> "Params":
        if self.otherwise in self.routes:
            raise ValueError(f"otherwise: {self.otherwise!r} is one of the routes; give it a name of its own")
        return self

    @property
    def branches(self) -> tuple[str, ...]:
        """The names of all its branches."""
        return (*self.routes, *([self.otherwise] if self.otherwise else []))


class Switch(Node):
    """Gives its input to branches."""

    def __init__(self, params: Params, _fittings: Fittings) -> None:
        self._routes = [(name, Expression(where)) for name, where in params.routes.items()]
        self._otherwise, self._first = params.otherwise, params.match == "first"

    def resolve(self, value: object, run: Run, /) -> Branches:
        """The input, on the branches that it takes."""
        topic, levels, taken = run.message.topic, run.values, {}
        for name, where in self._routes:
            if where.holds(value, topic, levels):
                taken[name] = value
                if self._first:
                    break
        if not taken and self._otherwise is not None:
            taken[self._otherwise] = value
        return Branches(taken)


def _branches(params: Params) -> tuple[str, ...]:
    return params.branches


NODE = NodeType(
    name="switch",
    params=Params,
    make=Switch,
    doc="Hands its input on to the branches whose conditions hold, as it is; the others are skipped.",
    example="{id: route, type: switch, routes: {hot: temperature > 30, cold: temperature < 5}, otherwise: normal, "
    "inputs: [in]}",
    may_skip=True,
    branches=_branches,
)
