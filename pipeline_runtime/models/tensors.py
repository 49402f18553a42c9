"""Values as tensors and tensors as values: strict about types and shapes, and precise about what does not fit."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from schemas.errors import BadPayload
from schemas.models import TensorSpec

Array = NDArray[np.generic]

DTYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(bfloat16)": np.float32,  # numpy has none; see small_floats.py, as for the others of that kind
    "tensor(float8e4m3fn)": np.float32,
    "tensor(float8e4m3fnuz)": np.float32,
    "tensor(float8e5m2)": np.float32,
    "tensor(float8e5m2fnuz)": np.float32,
    "tensor(int8)": np.int8,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16,
    "tensor(uint32)": np.uint32,
    "tensor(uint64)": np.uint64,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}
"""The element types that pipelines can feed, as ONNX Runtime writes them, and what holds them here."""

_NUMBERS = frozenset((int, float))
_DEEPEST = 32  # numpy cannot go through all numbers of an array with more axes
_EXACT = 2**53  # beyond it a float64 does not hold every whole number


def to_tensor(spec: TensorSpec, value: object) -> Array:
    """Nested lists, or an array, as an array of the input's type and shape.

    Raises:
        BadPayload: ragged, of another type, a number that the type cannot hold, or another shape.
    """
    if isinstance(value, Mapping):
        raise BadPayload(f"the model wants lists of shape {shape_text(spec)}, not an object; name its `features`")
    dtype = np.dtype(DTYPES[spec.dtype])
    try:
        given = np.asarray(value, object if dtype.kind == "O" else None)
    except ValueError as error:
        raise BadPayload(f"the model wants lists of shape {shape_text(spec)}; these are of unequal length") from error
    if given.ndim > _DEEPEST:
        raise BadPayload(f"the model wants lists of shape {shape_text(spec)}; these are nested {given.ndim} deep")
    array = given if given.dtype == dtype and dtype.kind != "O" else _cast(spec, dtype, given, value)
    check_shape(spec, array)
    return array


def _cast(spec: TensorSpec, dtype: "np.dtype[np.generic]", given: Array, value: object) -> Array:
    if not given.size:
        return given.astype(dtype)
    if dtype.kind in "iu" and given.dtype.kind in "fO":
        given = _whole_numbers(spec, given, value)
    if dtype.kind == "f" and _holds_truth(value):
        raise BadPayload(f"the model wants {spec.dtype}, and was given true or false")
    if not _same_kind(dtype, given):
        raise BadPayload(f"the model wants {spec.dtype}, and was given {_array_kind(given)}")
    with np.errstate(over="ignore", invalid="ignore"):
        array = given.astype(dtype)
    if dtype.kind == "f":
        # NaN and infinities that were given stay what they are; a number must not become one.
        exact = np.isfinite(array).all() or np.array_equal(np.isfinite(array), np.isfinite(given))
    else:
        exact = dtype.kind not in "iu" or np.array_equal(array, given)
    if not exact:
        raise _cannot_hold(spec)
    return array


def _same_kind(dtype: "np.dtype[np.generic]", given: Array) -> bool:
    if dtype.kind == "O":
        return all(isinstance(text, str) for text in given.flat)
    if dtype.kind == "b":
        return given.dtype.kind == "b"
    return given.dtype.kind in "iuf" or (given.dtype.kind == "b" and dtype.kind != "f")


def _holds_truth(value: object) -> bool:
    """Whether there is a true or a false among the numbers: numpy would make it 1 or 0."""
    if not isinstance(value, list | tuple):
        return type(value) is bool
    return not _NUMBERS.issuperset(map(type, value)) and any(map(_holds_truth, value))


def _whole_numbers(spec: TensorSpec, given: Array, value: object) -> Array:
    """Whole numbers that numpy would have put among floats, or among objects, and not all of which these hold."""
    if given.dtype.kind == "f" and (isinstance(value, np.ndarray) or not (np.abs(given) >= _EXACT).any()):
        return given
    numbers = np.asarray(value, object)
    if not all(isinstance(number, int | float) for number in numbers.flat):
        return given
    try:
        whole = np.array([int(number) for number in numbers.flat], DTYPES[spec.dtype]).reshape(numbers.shape)
    except (OverflowError, ValueError) as error:  # out of range; NaN
        raise _cannot_hold(spec) from error
    if any(number != kept for number, kept in zip(numbers.flat, whole.flat, strict=True)):
        raise _cannot_hold(spec)
    return whole


def _cannot_hold(spec: TensorSpec) -> BadPayload:
    return BadPayload(f"the model wants {spec.dtype}, which cannot hold a number that it was given")


def check_shape(spec: TensorSpec, array: Array) -> None:
    """Raise BadPayload, naming both shapes, unless every size that the model fixes is met."""
    wanted = spec.shape
    if not wanted:
        return  # a single number, or any shape: only ONNX Runtime knows, and it checks
    if len(wanted) == array.ndim and all(
        not isinstance(size, int) or size == given for size, given in zip(wanted, array.shape, strict=True)
    ):
        return
    raise BadPayload(f"the model wants shape {shape_text(spec)}, and was given {list(array.shape)}")


def shape_text(spec: TensorSpec) -> str:
    """The shape for people: ``[any, 4]``."""
    return f"[{', '.join(str(size) if isinstance(size, int) else 'any' for size in spec.shape)}]"


def _array_kind(array: Array) -> str:
    kinds = {
        "U": "text",
        "b": "true or false",
        "O": "null, or lists of unequal length",
        "f": "fractions",
        "i": "numbers",
    }
    if array.dtype.kind == "O" and not any(value is None or isinstance(value, list) for value in array.flat):
        kinds_there = {kind_of(value) for value in array.flat}
        return "numbers" if kinds_there == {"a number"} else " and ".join(sorted(kinds_there))
    return kinds.get(array.dtype.kind, str(array.dtype))


def kind_of(value: object) -> str:
    """What a value is, for people."""
    kinds = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
