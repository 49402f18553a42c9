"""The dead_letter node: puts a message aside, as if a node had failed on it."""

from typing import Annotated

from pydantic import Field

from pipeline_runtime.node_type import Fittings, Node, NodeParams, NodeType
from pipeline_runtime.running.dead_letters import letter_of
from pipeline_runtime.running.run import Run


class Params(NodeParams):
    """Why."""

    reason: Annotated[str, Field(min_length=1, max_length=500, description="What the dead letter says as its error.")]


class DeadLetter(Node):
    """Publishes a dead letter; the run goes on, and what other branches publish is published."""

    def __init__(self, params: Params, fittings: Fittings) -> None:
        self._reason, self._node = params.reason, fittings.node

    def resolve(self, value: object, run: Run, /) -> object:
        """Put the message aside; the result is the input."""
        run.send(self._node, letter_of(run, self._node, self._reason))
        return value


NODE = NodeType(
    name="dead_letter",
    params=Params,
    make=DeadLetter,
    doc="Puts the message aside as a dead letter with a reason, though nothing has failed.",
    example="{id: refused, type: dead_letter, reason: the sensor is not calibrated, inputs: [in]}",
)
