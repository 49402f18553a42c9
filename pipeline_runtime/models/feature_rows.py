"""Objects as rows of the features that a model was trained on."""

from collections.abc import Mapping, Sequence

from pipeline_runtime.models.tensors import kind_of
from schemas.errors import BadPayload


def rows_of(value: object, features: Sequence[str]) -> list[list[object]]:
    """One object or a list of them as rows of the named features, in their order.

    Raises:
        BadPayload: naming the feature that is missing or null, and its row.
    """
    records = value if isinstance(value, list) else [value]
    return [[_feature(record, name, row) for name in features] for row, record in enumerate(records)]


def _feature(record: object, name: str, row: int) -> object:
    if not isinstance(record, Mapping):
        raise BadPayload(f"row {row} is {kind_of(record)}, not an object with the features")
    if (value := record.get(name)) is None:
        raise BadPayload(f"feature {name!r} is {'null' if name in record else 'missing'} in row {row}")
    if isinstance(value, Mapping):
        raise BadPayload(f"feature {name!r} is an object in row {row}")
    return value
