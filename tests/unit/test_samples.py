"""A model's sample: made of what it declares, written down without pickles, and answered again."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline_runtime.models.onnx_model import OnnxModel
from pipeline_runtime.models.parity import check_parity
from pipeline_runtime.models.samples import make_sample
from schemas.errors import BadInput, Unfit
from tests.onnx_graphs import classifier, save, times


def _tensor(name: str, dtype: int, shape: list[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def _lookup(path: Path) -> Path:
    """Takes row numbers of a table of two: other whole numbers fail it."""
    table = numpy_helper.from_array(np.array([[1.0], [2.0]], np.float32), "table")
    return save(
        path,
        [helper.make_node("Gather", ["table", "row"], ["y"])],
        _tensor("row", TensorProto.INT64, ["n"]),
        [_tensor("y", TensorProto.FLOAT, ["n", 1])],
        [table],
    )


def _of_eight(path: Path) -> Path:
    """Leaves its second axis open, and works with eight only."""
    weights = numpy_helper.from_array(np.ones((8, 1), np.float32), "w")
    return save(
        path,
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        _tensor("x", TensorProto.FLOAT, ["n", "width"]),
        [_tensor("y", TensorProto.FLOAT, ["n", 1])],
        [weights],
    )


def _never(path: Path) -> Path:
    """Says that it takes rows of three, and fails on them."""
    shape = numpy_helper.from_array(np.array([-1, 1009], np.int64), "shape")
    return save(
        path,
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        _tensor("x", TensorProto.FLOAT, ["n", 3]),
        [_tensor("y", TensorProto.FLOAT, ["m", 1009])],
        [shape],
    )


def _texts(path: Path) -> Path:
    """Takes and gives texts."""
    return save(
        path,
        [helper.make_node("Identity", ["x"], ["y"])],
        _tensor("x", TensorProto.STRING, ["n", 2]),
        [_tensor("y", TensorProto.STRING, ["n", 2])],
    )


@pytest.mark.parametrize("make", [lambda path: times(path, 3.0), classifier, _lookup, _of_eight, _texts])
def test_a_model_answers_its_own_sample(make: object, tmp_path: Path) -> None:
    """Numbers, row numbers, texts and open axes: there is a sample, and asked again the model agrees with it."""
    assert callable(make)
    model = OnnxModel(make(tmp_path / "model.onnx"))
    assert make_sample(model, tmp_path / "sample.npz")
    check_parity(model, tmp_path / "sample.npz")


def test_another_model_does_not(tmp_path: Path) -> None:
    """A factor that is off by one per cent is noticed: the sample is not of zeros."""
    assert make_sample(OnnxModel(times(tmp_path / "a.onnx", 3.0)), tmp_path / "sample.npz")
    with pytest.raises(Unfit, match="output 'y' is not what was recorded"):
        check_parity(OnnxModel(times(tmp_path / "b.onnx", 3.03)), tmp_path / "sample.npz")


def test_the_same_model_has_the_same_sample(tmp_path: Path) -> None:
    """Whenever it is made: two registrations of one file share a blob."""
    model = OnnxModel(times(tmp_path / "model.onnx", 3.0))
    for name in ("one.npz", "two.npz"):
        make_sample(model, tmp_path / name)
    arrays = [dict(np.load(tmp_path / name)) for name in ("one.npz", "two.npz")]
    assert arrays[0].keys() == arrays[1].keys() == {"in/x", "out/y"}
    assert all(np.array_equal(arrays[0][name], arrays[1][name]) for name in arrays[0])


def test_a_model_that_fails_on_what_it_declares_is_refused(tmp_path: Path) -> None:
    """It would fail on every message."""
    with pytest.raises(BadInput, match="fails on zeros of the shapes that it declares"):
        make_sample(OnnxModel(_never(tmp_path / "model.onnx")), tmp_path / "sample.npz")


def test_a_sample_that_would_be_too_large_is_none(tmp_path: Path) -> None:
    """Some megabytes for each version are enough."""
    model = OnnxModel(times(tmp_path / "model.onnx", 3.0, ("n", 8_000_000)))
    assert not make_sample(model, tmp_path / "sample.npz")
    assert not (tmp_path / "sample.npz").exists()
