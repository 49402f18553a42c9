"""The only place that knows onnxruntime: loads a model, says what goes in and comes out, and asks it."""

import os
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when it is imported: an edge tells nobody what it does

import onnxruntime as ort

from pipeline_runtime.tensors import DTYPES, check_shape, to_json
from schemas.errors import BadInput, BadPayload
from schemas.models import Signature, TensorSpec

ort.set_default_logger_severity(4)  # what goes wrong is raised; the library's own lines on stderr repeat it


class OnnxModel:
    """A loaded model. One thread answers one call: a pipeline's worker is the unit of scale."""

    def __init__(self, path: Path) -> None:
        """Load a model. Blocks: milliseconds for a small one, seconds for a large one.

        Raises:
            BadInput: the file is missing, or is no model that this ONNX Runtime can run.
        """
        self.path = path
        self.usual_s = 0.0  # how long an answer takes; known once it is warm
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a class of its own for each of its codes
            raise BadInput(f"{path.name} cannot be loaded as an ONNX model: {_one_line(error)}") from error
        self.signature = Signature(
            inputs=tuple(_spec(tensor) for tensor in self._session.get_inputs()),
            outputs=tuple(_spec(tensor) for tensor in self._session.get_outputs()),
        )

    @property
    def input(self) -> TensorSpec:
        """The input that ``run`` feeds.

        Raises:
            BadInput: it has none, several, or one that is no tensor of a known type.
        """
        inputs = self.signature.inputs
        if len(inputs) != 1:
            names = ", ".join(tensor.name for tensor in inputs) or "none"
            raise BadInput(f"the model needs exactly one input to be used in a pipeline; it has {names}")
        if inputs[0].dtype not in DTYPES:
            raise BadInput(f"input {inputs[0].name!r} is {inputs[0].dtype}, which pipelines cannot feed")
        return inputs[0]

    def run(self, array: NDArray[np.generic]) -> object:
        """The first output for one input, as JSON has it. Blocks on CPU.

        Args:
            array: of the input's type and shape, such as float32 ``(rows, features)``.

        Raises:
            BadPayload: the array does not fit, or the model fails on it. The model is unharmed.
        """
        check_shape(self.input, array)
        try:
            (first,) = self._session.run([self.signature.outputs[0].name], {self.input.name: array})
        except Exception as error:  # as above
            raise BadPayload(f"the model failed on this input: {_one_line(error)}") from error
        return to_json(first)

    def warm(self) -> None:
        """Answer two questions made of zeros: the first real one is quick then, and ``usual_s`` is known.

        Raises:
            BadInput: the model fails although every size but that of the batch is known.
        """
        spec = self.input
        zeros = np.zeros([size if isinstance(size, int) else 1 for size in spec.shape], DTYPES[spec.dtype])
        try:
            self.run(zeros)
        except BadPayload as error:
            if all(isinstance(size, int) for size in spec.shape[1:]):
                raise BadInput(f"the model fails on a row of zeros: {error}") from error
            return  # one of the sizes that were guessed was wrong
        began = time.perf_counter()
        self.run(zeros)
        self.usual_s = time.perf_counter() - began


def _spec(tensor: "ort.NodeArg") -> TensorSpec:
    return TensorSpec(name=tensor.name, dtype=tensor.type, shape=tuple(tensor.shape or ()))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:500]
