"""Asks a model for one row through arrays that are bound to it once."""

from typing import Any

import numpy as np

from pipeline_runtime.models.small_floats import SMALL_FLOATS
from pipeline_runtime.models.tensors import DTYPES, Array
from schemas.models import TensorSpec


class BoundRow:
    """Arrays that a session reads from and writes to: saves what it takes to make them for each call."""

    def __init__(self, session: Any, given: TensorSpec, wanted: TensorSpec) -> None:  # noqa: ANN401 - onnx_model.py knows it
        self.given = zeros_for(given)
        self.answer = zeros_for(wanted)
        self._run = session.run_with_iobinding
        self._binding = session.io_binding()
        for bind, spec, array in (
            (self._binding.bind_input, given, self.given),
            (self._binding.bind_output, wanted, self.answer),
        ):
            bind(spec.name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)

    def ask(self) -> None:
        """Turn ``given`` into ``answer``. Raises whatever onnxruntime raises."""
        self._run(self._binding)


def zeros_for(spec: TensorSpec) -> Array:
    """One row of zeros for a tensor; sizes that the model leaves open are 1."""
    if spec.dtype == "tensor(string)":
        return np.full([size if isinstance(size, int) else 1 for size in spec.shape], "", object)
    return np.zeros([size if isinstance(size, int) else 1 for size in spec.shape], DTYPES[spec.dtype])


def is_row(spec: TensorSpec) -> bool:
    """Whether one row of it has a size that the model fixes, in a type that is kept as it is."""
    plain = spec.dtype in DTYPES and spec.dtype != "tensor(string)" and spec.dtype not in SMALL_FLOATS
    one = bool(spec.shape) and (spec.shape[0] == 1 or not isinstance(spec.shape[0], int))
    return plain and one and all(isinstance(size, int) for size in spec.shape[1:])
