"""Which values fit which tensors, and what is said of those that do not."""

import ml_dtypes
import numpy as np
import pytest

from pipeline_runtime.models.feature_rows import rows_of
from pipeline_runtime.models.small_floats import SMALL_FLOATS
from pipeline_runtime.models.tensors import to_tensor
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


def test_small_floats_are_rounded_to_the_nearest_and_read_back() -> None:
    """As another implementation does it, for every pattern of bits and for every number half-way between two."""
    types = {
        "bfloat16": ml_dtypes.bfloat16,
        "float8e4m3fn": ml_dtypes.float8_e4m3fn,
        "float8e5m2": ml_dtypes.float8_e5m2,
    }
    types |= {"float8e4m3fnuz": ml_dtypes.float8_e4m3fnuz, "float8e5m2fnuz": ml_dtypes.float8_e5m2fnuz}
    for name, dtype in types.items():
        small = SMALL_FLOATS[f"tensor({name})"]
        patterns = np.arange(1 << small.bits).astype(small.storage)
        with np.errstate(all="ignore"):
            wanted = patterns.view(dtype).astype(np.float32)
        assert np.array_equal(small.decode(patterns), wanted, equal_nan=True)
        numbers = np.unique(wanted[np.isfinite(wanted)])
        between = np.concatenate([numbers, (numbers[1:].astype(float) + numbers[:-1]) / 2]).astype(np.float32)
        assert np.array_equal(small.encode(between), between.astype(dtype).view(small.storage))
        assert np.isnan(small.decode(small.encode(np.array([np.nan], np.float32)))).all()
        with pytest.raises(BadPayload, match="cannot hold a number"):
            small.encode(np.array([1.0, numbers[-1] * 2 if small.bits == 8 else 3.4028235e38], np.float32))


@pytest.mark.parametrize(
    ("spec", "value", "says"),
    [
        (tensor("float", "n"), [1, True], "given true or false"),
        (tensor("int64", "n"), [2**53 + 1, 0.5], "cannot hold"),
        (tensor("int64", "n"), [2**63, 1], "cannot hold"),
        (tensor("uint8", "n"), [None], "given null"),
        (tensor("string", "n"), ["a", 1], "given a number and text"),
    ],
)
def test_nothing_is_rounded_or_taken_for_a_number_on_the_way(spec: TensorSpec, value: object, says: str) -> None:
    """What numpy would make of a mixed list is not what was given."""
    with pytest.raises(BadPayload, match=says):
        to_tensor(spec, value)


def test_large_whole_numbers_stay_what_they_are() -> None:
    """Also beside fractions, and beyond what a signed number holds."""
    assert to_tensor(tensor("int64", "n"), [2**53 + 1, 1.0]).tolist() == [2**53 + 1, 1]
    assert to_tensor(tensor("uint64", "n"), [2**64 - 1, 1]).tolist() == [2**64 - 1, 1]


def test_no_number_becomes_infinite_but_those_that_are_stay_so() -> None:
    """Other formats than JSON have NaN and infinities, and so have models."""
    kept = to_tensor(tensor("float", "n"), [float("nan"), float("inf"), 1.0])
    assert np.array_equal(kept, np.array([np.nan, np.inf, 1], np.float32), equal_nan=True)


def test_lists_that_are_nested_too_deep_are_refused() -> None:
    """Whatever the model's type."""
    value: object = 1
    for _ in range(40):
        value = [value]
    for dtype in ("float", "int64", "string"):
        with pytest.raises(BadPayload, match="nested 40 deep"):
            to_tensor(tensor(dtype, "n"), value)
