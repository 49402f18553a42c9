"""What a model node does with each message: rows to a tensor, the model's answer, in a thread if that takes long."""

import asyncio
from collections.abc import Awaitable

from pipeline_runtime.node_type import Node
from pipeline_runtime.onnx_model import OnnxModel
from pipeline_runtime.run import Run
from pipeline_runtime.tensors import rows_of, to_tensor

SLOW_S = 0.002  # a thread costs about 0.1 ms; an answer that takes longer than this would hold up everything else


class ModelCalls(Node):
    """Feeds the model's only input, and gives its first output."""

    def __init__(self, model: OnnxModel, features: tuple[str, ...] | None) -> None:
        self._model, self._features, self._spec = model, features, model.input
        self._many = SLOW_S / max(model.usual_s, 1e-9)  # rows that take long together

    def resolve(self, value: object, _run: Run, /) -> object | Awaitable[object]:
        """The model's answer; one that takes long comes from a thread."""
        rows = value if self._features is None else rows_of(value, self._features)
        array = to_tensor(self._spec, rows)
        many = len(array) if array.ndim else 1
        if many > self._many:
            return asyncio.to_thread(self._model.run, array)
        return self._model.run(array)
