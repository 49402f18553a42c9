"""The shadow node: asks a second model what the first one was asked, and compares."""

from typing import Annotated

from pydantic import Field

from pipeline_runtime.node_type import Fittings, Node, NodeType
from pipeline_runtime.nodes import model
from schemas.pipelines import InputRef


class Params(model.Params):
    """Those of a model node, what its answers are compared with, and how closely."""

    against: InputRef = Field(description="The input whose result it is compared with: the node of the served model.")
    tolerance: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        1e-6, description="Numbers may differ by so much, or by this part of the larger one."
    )
    at_once: Annotated[int, Field(ge=1, le=100_000)] = Field(
        32, description="So many messages may wait for the shadow's answer; those that come meanwhile are not compared."
    )
    wait: bool = Field(
        True,
        description="Whether a message waits for a slow shadow's answer; if not, nodes behind it are skipped then.",
    )


def make(params: Params, fittings: Fittings) -> Node:
    """The node itself; see the model node for why it is imported here."""
    from pipeline_runtime.models.shadow_calls import ShadowCalls  # noqa: PLC0415

    return ShadowCalls(params, fittings)


NODE = NodeType(
    name="shadow",
    params=Params,
    make=make,
    doc="Asks a second model beside the one that answers, and gives how the two compare; it never fails a message.",
    example="{id: compare, type: shadow, model: iris@candidate, against: predict, inputs: [in, predict]}",
    may_skip=True,
)
