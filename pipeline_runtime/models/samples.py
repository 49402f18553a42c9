"""A model's sample: something that it was asked when it was registered, and what it answered; see ``parity.py``."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline_runtime.models.onnx_model import OnnxModel
from pipeline_runtime.models.tensors import DTYPES, Array
from schemas.errors import BadInput, BadPayload
from schemas.models import TensorSpec

MOST_BYTES = 16 * 1024 * 1024
_SIZES = (2, 1, 3, 8, 16, 32, 224)  # tried for the axes that a model leaves open, all alike
_SEED = 20_261_127

Feed = dict[str, Array]


def make_sample(model: OnnxModel, to: Path) -> bool:
    """Ask a model something of the shapes that it declares, and write both down. Blocks.

    Numbers are drawn at random, always the same; a model that fails on them (indices, say) is asked about zeros.

    Args:
        model: loaded.
        to: an .npz: ``in/<input>`` and ``out/<output>``.

    Returns:
        Whether there is a sample: a model may take or give what is no tensor, or want open axes of sizes that nobody
        could guess, or its sample would be too large.

    Raises:
        BadInput: it fails on zeros although it fixes the size of every axis but the first.
    """
    if any(spec.dtype not in DTYPES for spec in model.signature.inputs):
        return False
    outputs = [spec.name for spec in model.signature.outputs if spec.dtype in DTYPES]
    failure: BadPayload | None = None
    for feed in _feeds(model.signature.inputs):
        try:
            answers = model.ask(feed, outputs)
        except BadPayload as error:
            failure = error
            continue
        return bool(outputs) and _write(to, feed, dict(zip(outputs, answers, strict=True)))
    if failure is not None and _is_fixed(model.signature.inputs):
        raise BadInput(f"the model fails on zeros of the shapes that it declares: {failure}") from failure
    return False


def _feeds(inputs: tuple[TensorSpec, ...]) -> Iterator[Feed]:
    """What to ask, one after the other until something is answered."""
    for size in _SIZES:
        shapes = {spec.name: _shape(spec, size) for spec in inputs}
        if sum(_elements(shape) for shape in shapes.values()) * 8 <= MOST_BYTES:
            draw = np.random.default_rng(_SEED)
            yield {spec.name: _random(spec, shapes[spec.name], draw) for spec in inputs}
            yield {spec.name: _zeros(spec, shapes[spec.name]) for spec in inputs}


def _random(spec: TensorSpec, shape: tuple[int, ...], draw: np.random.Generator) -> Array:
    dtype = np.dtype(DTYPES[spec.dtype])
    if dtype.kind == "f":
        return draw.standard_normal(shape).astype(dtype)
    if dtype.kind in "iu":
        return draw.integers(0, 3, shape).astype(dtype)
    return draw.integers(0, 2, shape).astype(dtype) if dtype.kind == "b" else _zeros(spec, shape)


def _zeros(spec: TensorSpec, shape: tuple[int, ...]) -> Array:
    dtype = np.dtype(DTYPES[spec.dtype])
    return np.full(shape, "", object) if dtype.kind == "O" else np.zeros(shape, dtype)


def _shape(spec: TensorSpec, size: int) -> tuple[int, ...]:
    return tuple(axis if isinstance(axis, int) and axis > 0 else size for axis in spec.shape)


def _elements(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.float64))


def _is_fixed(inputs: tuple[TensorSpec, ...]) -> bool:
    return all(isinstance(axis, int) for spec in inputs for axis in spec.shape[1:])


def _write(to: Path, feed: Feed, answers: dict[str, object]) -> bool:
    arrays = {f"in/{name}": _plain(array) for name, array in feed.items()}
    arrays |= {f"out/{name}": _plain(np.asarray(answer)) for name, answer in answers.items()}
    if sum(array.nbytes for array in arrays.values()) > MOST_BYTES:
        return False
    with to.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type] # its stubs take the names for options
    return True


def _plain(array: Array) -> Array:
    """Texts without pickles."""
    return array.astype(np.str_) if array.dtype.kind == "O" else array
