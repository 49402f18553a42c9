"""The model node: asks an ONNX model."""

import asyncio
from collections.abc import Awaitable
from typing import Annotated

from pydantic import Field

from pipeline_runtime.node_type import Fittings, Links, NodeParams, NodeType
from pipeline_runtime.run import Run
from pipeline_runtime.tensors import rows_of, to_tensor
from schemas.names import ModelRef

SLOW_S = 0.002  # a thread costs about 0.1 ms; an answer that takes longer than this would hold up everything else


class Params(NodeParams):
    """Which model, and which of its input's fields it takes."""

    model: ModelRef
    features: Annotated[tuple[str, ...], Field(min_length=1)] | None = None  # in the order the model was trained on

    def links(self) -> Links:
        """The model it asks."""
        return Links(model=self.model)


class ModelNode:
    """Feeds the model's only input, and gives its first output."""

    def __init__(self, params: Params, fittings: Fittings) -> None:
        self._model = fittings.models[params.model]
        self._features = params.features
        self._spec = self._model.input
        self._many = SLOW_S / max(self._model.usual_s, 1e-9)  # rows that take long together

    def resolve(self, value: object, _run: Run, /) -> object | Awaitable[object]:
        """The model's answer; one that takes long comes from a thread."""
        rows = value if self._features is None else rows_of(value, self._features)
        array = to_tensor(self._spec, rows)
        rows = len(array) if array.ndim else 1
        if rows > self._many:
            return asyncio.to_thread(self._model.run, array)
        return self._model.run(array)


NODE = NodeType("model", Params, ModelNode)
