"""The only place that knows onnxruntime: loads a model, says what goes in and comes out, and asks it."""

import ctypes
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when it is imported: an edge tells nobody what it does

import onnxruntime as ort

from pipeline_runtime.models.bound_row import BoundRow, is_row, zeros_for
from pipeline_runtime.models.onnx_values import to_json
from pipeline_runtime.models.small_floats import SMALL_FLOATS
from pipeline_runtime.models.tensors import DTYPES, Array, check_shape
from schemas.errors import BadInput, BadPayload
from schemas.models import Signature, TensorSpec

ort.set_default_logger_severity(4)  # what goes wrong is raised; the library's own lines on stderr repeat it

RUNTIME = f"ONNX Runtime {ort.__version__}"

_PROVIDER = "ExecutionProvider"  # what all their names end with
_PLACE = re.compile(r"/onnxruntime_src/\S+:\d+ [^()]*\([^()]*(\([^()]*\)[^()]*)*\)( const)? ?")  # in its source
_CPU = f"CPU{_PROVIDER}"
_LONG_S = 0.05  # an answer that took this long is not asked for again only to learn how long it takes


class OnnxModel:
    """A loaded model. One thread answers one call: a pipeline's worker is the unit of scale."""

    def __init__(self, path: Path, provider: str = "cpu") -> None:
        """Load a model. Blocks: milliseconds for a small one, seconds for a large one.

        Raises:
            BadInput: the file is missing, or is no model that this ONNX Runtime can run; or there is no such provider.
        """
        self.path = path
        self.provider = _provider(provider)
        self.usual_s = 1.0  # how long an answer takes; long, until it is known
        self._elsewhere: dict[str, OnnxModel] = {}  # by provider
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = ort.InferenceSession(str(path), options, providers=[self.provider])
        except Exception as error:  # onnxruntime raises a class of its own for each of its codes
            raise BadInput(f"{path.name} cannot be loaded as an ONNX model: {_one_line(error)}") from error
        if self.provider not in self._session.get_providers():
            raise BadInput(f"{self.provider} could not be started: its libraries or its device are missing")
        self.signature = Signature(
            inputs=tuple(_spec(tensor) for tensor in self._session.get_inputs()),
            outputs=tuple(_spec(tensor) for tensor in self._session.get_outputs()),
        )
        self._small = {spec.name: SMALL_FLOATS[spec.dtype] for spec in self.signature.inputs if _is_small(spec)}
        self._gives_small = any(_is_small(spec) for spec in self.signature.outputs)

    def on(self, provider: str) -> "OnnxModel":
        """This model on that execution provider, such as ``cpu`` or ``cuda``; loaded and warmed if it is not yet.

        Raises:
            BadInput: this ONNX Runtime has no such provider, or it cannot run the model.
        """
        full = _provider(provider)
        if full == self.provider:
            return self
        if full not in self._elsewhere:
            other = OnnxModel(self.path, full)
            other.warm()
            self._elsewhere[full] = other
        return self._elsewhere[full]

    def ask(self, feed: Mapping[str, object], outputs: Sequence[str]) -> list[Any]:
        """These outputs, in their order, as ONNX Runtime gives them. Blocks on CPU; threads may ask side by side.

        Args:
            feed: by the input's name an array of its type and shape; lists of them for sequences, dicts for maps.
            outputs: names.

        Raises:
            BadPayload: an input does not fit, or the model fails on it. The model is unharmed.
        """
        try:
            if self._small or self._gives_small:
                return self._ask_of_small_floats(feed, outputs)
            answer: list[Any] = self._session.run(outputs, feed)
        except BadPayload:
            raise
        except Exception as error:  # as above
            raise BadPayload(f"the model failed on this input: {_one_line(error)}") from error
        return answer

    def _ask_of_small_floats(self, feed: Mapping[str, object], outputs: Sequence[str]) -> list[Any]:
        values: dict[str, object] = {}
        for name, value in feed.items():
            small = self._small.get(name)
            if small is not None:
                bits = small.encode(np.asarray(value, np.float32))
                values[name] = ort.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, small.onnx_type)
            else:
                values[name] = ort.OrtValue.ortvalue_from_numpy(value)
        return [_from_ort(value) for value in self._session.run_with_ort_values(outputs, values)]

    def bind(self, output: str) -> BoundRow | None:
        """A quicker way to ask for one output for one row, if the model has one input of a fixed size of row."""
        given = self.signature.inputs
        wanted = next(spec for spec in self.signature.outputs if spec.name == output)
        if len(given) != 1 or not (is_row(given[0]) and is_row(wanted)) or self.provider != _CPU:
            return None
        try:
            bound = BoundRow(self._session, given[0], wanted)
            bound.ask()
        except Exception:  # noqa: BLE001 - whatever this model does otherwise than it declares, it is asked as all are
            return None
        return bound

    def run(self, array: Array) -> object:
        """The first output for the only input, as JSON has it. Blocks on CPU.

        Raises:
            BadPayload: the array does not fit, or the model fails on it. The model is unharmed.
        """
        (given,) = self.signature.inputs
        check_shape(given, array)
        return to_json(self.ask({given.name: array}, [self.signature.outputs[0].name])[0])

    def warm(self) -> None:
        """Answer some questions made of zeros: the first real one is quick then, and ``usual_s`` is known.

        Raises:
            BadInput: the model fails although every size but that of the batch is known.
        """
        inputs = self.signature.inputs
        if any(spec.dtype not in DTYPES for spec in inputs):
            return
        zeros = {spec.name: zeros_for(spec) for spec in inputs}
        outputs = [spec.name for spec in self.signature.outputs]
        try:
            self.ask(zeros, outputs)
        except BadPayload as error:
            if all(isinstance(size, int) for spec in inputs for size in spec.shape[1:]):
                raise BadInput(f"the model fails on a row of zeros: {error}") from error
            return  # one of the sizes that were guessed was wrong
        times_s: list[float] = []
        while len(times_s) < 3 and sum(times_s) < _LONG_S:
            began = time.perf_counter()
            self.ask(zeros, outputs)
            times_s.append(time.perf_counter() - began)
        self.usual_s = min(times_s)  # whatever else ran meanwhile made the others longer


def _is_small(spec: TensorSpec) -> bool:
    return spec.dtype in SMALL_FLOATS


def _from_ort(value: "ort.OrtValue") -> object:
    small = SMALL_FLOATS.get(value.data_type())
    if small is None:
        return value.numpy()
    shape = tuple(value.shape())
    raw = ctypes.string_at(value.data_ptr(), int(np.prod(shape)) * small.bits // 8)
    return small.decode(np.frombuffer(raw, small.storage).reshape(shape))


def _provider(name: str) -> str:
    there: dict[str, str] = {full.removesuffix(_PROVIDER).casefold(): full for full in ort.get_available_providers()}
    full = there.get(name.removesuffix(_PROVIDER).casefold())
    if full is None:
        raise BadInput(f"this ONNX Runtime has no execution provider {name!r}; it has {', '.join(sorted(there))}")
    return full


def _spec(tensor: "ort.NodeArg") -> TensorSpec:
    return TensorSpec(name=tensor.name, dtype=tensor.type, shape=tuple(tensor.shape or ()))


def _one_line(error: Exception) -> str:
    return _PLACE.sub("", " ".join(str(error).split()))[:500]
