"""Which values fit which tensors, and what is said of those that do not."""

import numpy as np
import pytest

from pipeline_runtime.tensors import rows_of, to_tensor
from schemas.errors import BadPayload
from schemas.models import TensorSpec


def tensor(dtype: str, *shape: int | str) -> TensorSpec:
    """An input of this type and shape."""
    return TensorSpec(name="x", dtype=f"tensor({dtype})", shape=shape)


def test_features_become_rows_in_the_listed_order() -> None:
    """One object is one row, a list is a batch, and other keys do not matter."""
    assert rows_of({"b": 2, "a": 1, "id": "x"}, ["a", "b"]) == [[1, 2]]
    assert rows_of([{"a": 1, "b": 2}, {"b": 4, "a": 3}], ["a", "b"]) == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"a": 1}, "feature 'b' is missing in row 0"),
        ([{"a": 1, "b": 2}, {"a": 1, "b": None}], "feature 'b' is null in row 1"),
        ({"a": 1, "b": {}}, "feature 'b' is an object in row 0"),
        (7, "row 0 is a number, not an object"),
        ([[1, 2]], "row 0 is a list, not an object"),
    ],
)
def test_a_bad_feature_is_named_with_its_row(value: object, says: str) -> None:
    """The message says which feature of which row is wrong, and how."""
    with pytest.raises(BadPayload, match=says):
        rows_of(value, ["a", "b"])


@pytest.mark.parametrize(
    ("spec", "value", "says"),
    [
        (tensor("float", "n", 2), [1, 2], r"wants shape \[any, 2\], and was given \[2\]"),
        (tensor("float", "n", 2), [[1, 2, 3]], r"wants shape \[any, 2\], and was given \[1, 3\]"),
        (tensor("float", "n", 2), [[1, 2], [3]], "unequal length"),
        (tensor("float", "n", 2), [["1", "2"]], "given text"),
        (tensor("float", "n", 2), [[1, None]], "given null"),
        (tensor("float", "n", 2), [[True, False]], "given true or false"),
        (tensor("float", "n", 2), [[1e300, 0]], "cannot hold"),
        (tensor("float", "n", 2), {"a": 1}, "name its `features`"),
        (tensor("int64", "n"), [1.5], "cannot hold"),
        (tensor("uint8", "n"), [256], "cannot hold"),
        (tensor("uint8", "n"), [-1], "cannot hold"),
        (tensor("string", "n"), [1], "given numbers"),
        (tensor("bool", "n"), [1], "given numbers"),
        (tensor("float", 3, 2), [[1, 2]], r"wants shape \[3, 2\]"),
    ],
)
def test_what_does_not_fit_is_refused_and_described(spec: TensorSpec, value: object, says: str) -> None:
    """Nothing is cut, wrapped or parsed to make it fit."""
    with pytest.raises(BadPayload, match=says):
        to_tensor(spec, value)


def test_numbers_are_cast_to_the_models_type() -> None:
    """JSON has one kind of number, models have many."""
    assert to_tensor(tensor("float", "n", 2), [[1, 2.5]]).dtype == np.float32
    assert to_tensor(tensor("int64", "n"), [1.0, 2.0]).tolist() == [1, 2]
    assert to_tensor(tensor("string", "n"), ["a", "longer"]).tolist() == ["a", "longer"]
    assert to_tensor(tensor("float", "n"), []).shape == (0,)
