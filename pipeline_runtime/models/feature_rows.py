"""Objects as rows of the features that a model was trained on."""

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline_runtime.models.tensors import DTYPES, kind_of, shape_text, to_tensor
from schemas.errors import BadInput, BadPayload
from schemas.models import TensorSpec

_ONE_EACH = 2  # axes of an input that takes rows of single values


def check_features(spec: TensorSpec, features: Sequence[str]) -> None:
    """Refuse what can never work; sizes that the model leaves open, and a shape that it does not tell, may fit.

    Raises:
        BadInput: an input takes rows of another length, or none at all.
    """
    if "map(" in spec.dtype:
        raise BadInput(f"input {spec.name!r} is {spec.dtype}, which takes no rows: leave `features` out")
    if spec.dtype not in DTYPES or not spec.shape:
        return
    if len(spec.shape) < _ONE_EACH:
        raise BadInput(f"input {spec.name!r} takes no rows: its shape is {shape_text(spec)}; leave `features` out")
    wanted = spec.shape[1]
    if isinstance(wanted, int) and wanted != len(features):
        raise BadInput(
            f"input {spec.name!r} wants {wanted} features, for its shape is {shape_text(spec)}, and "
            f"{len(features)} are listed in `features`: {', '.join(features)}"
        )


def rows_of(value: object, features: Sequence[str]) -> list[list[object]]:
    """One object or a list of them as rows of the named features, in their order.

    Raises:
        BadPayload: naming the feature that is missing or null, and its row.
    """
    records = value if isinstance(value, list) else [value]
    return [[_feature(record, name, row) for name in features] for row, record in enumerate(records)]


def wrong_feature(spec: TensorSpec, rows: list[list[object]], features: Sequence[str]) -> BadPayload | None:
    """Which feature of rows that the input does not take is the cause; None if each of them would do by itself.

    Only for the words of an error: what is right is not looked at twice. Halving the rows costs as much as reading
    all of them once more; looking at each value of many rows would hold up the messages behind.
    """
    if spec.dtype not in DTYPES or not rows:
        return None
    some = spec.model_copy(update={"shape": (None, *spec.shape[1:]) if spec.shape else ()})
    first, last = 0, len(rows)
    while last - first > 1:
        middle = (first + last) // 2
        first, last = (first, middle) if _misfit(some, rows[first:middle]) else (middle, last)
    one = spec.model_copy(update={"shape": spec.shape[_ONE_EACH:]})
    for name, value in zip(features, rows[first], strict=True):
        if len(spec.shape) == _ONE_EACH and isinstance(value, list | tuple | np.ndarray):
            return BadPayload(f"feature {name!r} is a list in row {first}; the model takes one value for each feature")
        if misfit := _misfit(one, value):
            return BadPayload(f"feature {name!r} in row {first}: {misfit}")
    return None


def _misfit(spec: TensorSpec, value: object) -> BadPayload | None:
    try:
        to_tensor(spec, value)
    except BadPayload as error:
        return error
    return None


def _feature(record: object, name: str, row: int) -> object:
    if not isinstance(record, Mapping):
        raise BadPayload(f"row {row} is {kind_of(record)}, not an object with the features")
    if (value := record.get(name)) is None:
        raise BadPayload(f"feature {name!r} is {'null' if name in record else 'missing'} in row {row}")
    if isinstance(value, Mapping):
        raise BadPayload(f"feature {name!r} is an object in row {row}")
    return value
