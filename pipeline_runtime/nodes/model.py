"""The model node: asks an ONNX model."""

from typing import Annotated

from pydantic import Field

from pipeline_runtime.node_type import Fittings, Links, Node, NodeParams, NodeType
from schemas.names import ModelRef


class Params(NodeParams):
    """Which model, and which of its input's fields it takes."""

    model: ModelRef
    features: Annotated[tuple[str, ...], Field(min_length=1)] | None = None  # in the order the model was trained on

    def links(self) -> Links:
        """The model it asks."""
        return Links(model=self.model)


def make(params: Params, fittings: Fittings) -> Node:
    """The node itself. Only who runs pipelines needs numpy: a controller that checks them does not load it."""
    from pipeline_runtime.model_calls import ModelCalls  # noqa: PLC0415

    return ModelCalls(fittings.models[params.model], params.features)


NODE = NodeType(
    name="model",
    params=Params,
    make=make,
    doc="Asks an ONNX model.",
    example="{id: predict, type: model, model: iris, features: [sepal_length, sepal_width], inputs: [in]}",
)
