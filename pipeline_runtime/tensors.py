"""Values as tensors and tensors as values: strict about types and shapes, and precise about what does not fit."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.errors import BadPayload
from schemas.models import TensorSpec

DTYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int8)": np.int8,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16,
    "tensor(uint32)": np.uint32,
    "tensor(uint64)": np.uint64,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.str_,
}
"""The element types that pipelines can feed, as ONNX Runtime writes them."""


def to_tensor(spec: TensorSpec, value: object) -> NDArray[np.generic]:
    """Nested lists as an array of the input's type and shape.

    Raises:
        BadPayload: ragged, of another type, a number that the type cannot hold, or another shape.
    """
    if isinstance(value, Mapping):
        raise BadPayload(f"the model wants lists of shape {shape_text(spec)}, not an object; name its `features`")
    try:
        given = np.asarray(value)
    except ValueError as error:
        raise BadPayload(f"the model wants lists of shape {shape_text(spec)}; these are of unequal length") from error
    array = _cast(spec, given)
    check_shape(spec, array)
    return array


def rows_of(value: object, features: Sequence[str]) -> list[list[object]]:
    """One object or a list of them as rows of the named features, in their order.

    Raises:
        BadPayload: naming the feature that is missing or null, and its row.
    """
    records = value if isinstance(value, list) else [value]
    return [[_feature(record, name, row) for name in features] for row, record in enumerate(records)]


def _feature(record: object, name: str, row: int) -> object:
    if not isinstance(record, Mapping):
        raise BadPayload(f"row {row} is {_kind(record)}, not an object with the features")
    if (value := record.get(name)) is None:
        raise BadPayload(f"feature {name!r} is {'null' if name in record else 'missing'} in row {row}")
    if isinstance(value, Mapping):
        raise BadPayload(f"feature {name!r} is an object in row {row}")
    return value


def _cast(spec: TensorSpec, given: NDArray[np.generic]) -> NDArray[np.generic]:
    dtype = np.dtype(DTYPES[spec.dtype])
    if dtype.kind in "US":
        fits = given.dtype.kind == "U"
    elif dtype.kind == "b":
        fits = given.dtype.kind == "b"
    else:
        fits = given.dtype.kind in "iuf" or (given.dtype.kind == "b" and dtype.kind != "f")
    if not fits and given.size:
        raise BadPayload(f"the model wants {spec.dtype}, and was given {_array_kind(given)}")
    with np.errstate(over="ignore", invalid="ignore"):
        array = given.astype(dtype)
    exact = np.isfinite(array).all() if dtype.kind == "f" else dtype.kind not in "iu" or np.array_equal(array, given)
    if not exact:
        raise BadPayload(f"the model wants {spec.dtype}, which cannot hold a number that it was given")
    return array


def check_shape(spec: TensorSpec, array: NDArray[np.generic]) -> None:
    """Raise BadPayload, naming both shapes, unless every size that the model fixes is met."""
    wanted = spec.shape
    if len(wanted) == array.ndim and all(
        not isinstance(size, int) or size == given for size, given in zip(wanted, array.shape, strict=True)
    ):
        return
    raise BadPayload(f"the model wants shape {shape_text(spec)}, and was given {list(array.shape)}")


def shape_text(spec: TensorSpec) -> str:
    """The shape for people: ``[any, 4]``."""
    return f"[{', '.join(str(size) if isinstance(size, int) else 'any' for size in spec.shape)}]"


def to_json(result: object) -> object:
    """What a model gave, as JSON has it: arrays as lists, and a classifier's map of labels as an object."""
    if isinstance(result, np.ndarray):
        return result.tolist()
    if isinstance(result, np.generic):
        return result.item()
    if isinstance(result, Mapping):
        return {str(key): to_json(value) for key, value in result.items()}
    if isinstance(result, list | tuple):
        return [to_json(value) for value in result]
    return result


def _array_kind(array: NDArray[np.generic]) -> str:
    kinds = {
        "U": "text",
        "b": "true or false",
        "O": "null, or lists of unequal length",
        "f": "fractions",
        "i": "numbers",
    }
    return kinds.get(array.dtype.kind, str(array.dtype))


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
