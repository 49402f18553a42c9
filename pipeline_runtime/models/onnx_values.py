"""What goes into inputs of every ONNX type, not of tensors alone, and what comes out, as JSON has it."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from pipeline_runtime.models.tensors import DTYPES, kind_of, to_tensor
from schemas.errors import BadInput, BadPayload
from schemas.models import TensorSpec

Read = Callable[[object], object]
"""Turns a value into what ONNX Runtime takes for one input. Raises BadPayload."""


def reader_of(spec: TensorSpec) -> Read:
    """How values are read for an input.

    Raises:
        BadInput: its type is one that pipelines cannot feed.
    """
    kind, inner = _parts(spec.dtype)
    if spec.dtype in DTYPES:
        return partial(to_tensor, spec)
    if kind == "optional":
        return partial(_optional, reader_of(spec.model_copy(update={"dtype": inner})))
    if kind == "seq":
        return partial(_sequence, reader_of(TensorSpec(name=spec.name, dtype=inner, shape=())))
    if kind == "map":
        key, _, item = inner.partition(",")
        if item in DTYPES and key in {"string", "int64"}:
            return partial(_map, int if key == "int64" else str, TensorSpec(name=spec.name, dtype=item, shape=()))
    raise BadInput(f"input {spec.name!r} is {spec.dtype}, which pipelines cannot feed")


def is_optional(spec: TensorSpec) -> bool:
    """Whether the input may be left out."""
    return spec.dtype.startswith("optional(")


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


def _parts(dtype: str) -> tuple[str, str]:
    kind, _, rest = dtype.partition("(")
    return kind, rest.removesuffix(")")


def _optional(read: Read, value: object) -> object:
    return None if value is None else read(value)


def _sequence(read: Read, value: object) -> object:
    if not isinstance(value, list | tuple):
        raise BadPayload(f"the model wants a list of tensors, and was given {kind_of(value)}")
    return [read(item) for item in value]


def _map(key_type: type, item: TensorSpec, value: object) -> object:
    if not isinstance(value, Mapping):
        raise BadPayload(f"the model wants an object of names and values, and was given {kind_of(value)}")
    try:
        return {key_type(key): to_tensor(item, one).item() for key, one in value.items()}
    except ValueError as error:  # of int(), or of an array that is no single value
        raise BadPayload(f"the model wants an object of {key_type.__name__} and single values: {error}") from error
