"""Whether a model answers its sample as it did: what may differ, what may not, and how that is told."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from pipeline_runtime.models.onnx_model import OnnxModel
from pipeline_runtime.models.parity import check_parity
from schemas.errors import Unfit
from tests import onnx_graphs

ASKED: Mapping[str, Any] = {"in/x": np.array([[1, 2], [3, 4]], np.float32)}


def recorded(folder: Path, arrays: Mapping[str, Any]) -> Path:
    """A sample."""
    path = folder / "sample.npz"
    np.savez(path, **dict(arrays))
    return path


@pytest.mark.parametrize(
    ("answered", "reason"),
    [
        ([[2, 4], [6, 8]], ""),
        ([[2.0019, 4], [6, 7.993]], ""),
        ([[2.003, 4], [6, 8]], "1 of 4 values differ; one is 2.0, and was 2.003.*, where 0.00208 is allowed"),
        ([[0, 4], [np.nan, 9]], "3 of 4 values differ; one is 6.0, and was nan"),
        ([[2, 4]], r"its shape is \[2, 2\], and was \[1, 2\]"),
        ([[2, np.inf], [6, 8]], "1 of 4 values differ; one is 4.0, and was inf"),
    ],
)
def test_numbers_may_differ_by_what_processors_differ(tmp_path: Path, answered: object, reason: str) -> None:
    """A thousandth is noise, more is told with the place that is off most; what is no number is only like its like."""
    model = OnnxModel(onnx_graphs.times(tmp_path / "m.onnx", 2.0))
    sample = recorded(tmp_path, {**ASKED, "out/y": np.array(answered, np.float32)})
    if not reason:
        check_parity(model, sample)
        return
    with pytest.raises(Unfit, match=f"output 'y' is not what was recorded when it was registered: {reason}"):
        check_parity(model, sample)


def test_what_should_be_nothing_is_measured_by_the_largest(tmp_path: Path) -> None:
    """Beside a million, a hundredth where zero was recorded is noise; beside one it is not."""
    model = OnnxModel(onnx_graphs.times(tmp_path / "m.onnx", 1.0))
    noisy = {"in/x": np.array([[1e6, 0.01]], np.float32), "out/y": np.array([[1e6, 0]], np.float32)}
    check_parity(model, recorded(tmp_path, noisy))
    with pytest.raises(Unfit, match=r"one is 0\.00999.*, and was 0\.0, where 1e-05 is allowed"):
        check_parity(model, recorded(tmp_path, {key: np.minimum(value, 1) for key, value in noisy.items()}))


def test_not_a_number_is_like_itself(tmp_path: Path) -> None:
    """A model that gave NaN when it was registered may give it here."""
    model = OnnxModel(onnx_graphs.times(tmp_path / "m.onnx", float("nan")))
    check_parity(model, recorded(tmp_path, {**ASKED, "out/y": np.full((2, 2), np.nan, np.float32)}))
    with pytest.raises(Unfit, match=r"4 of 4 values differ; one is nan, and was 2\.0"):
        check_parity(model, recorded(tmp_path, {**ASKED, "out/y": np.full((2, 2), 2, np.float32)}))


def test_texts_and_whole_numbers_are_the_same_or_they_are_not(tmp_path: Path) -> None:
    """Labels as numpy keeps them in a file are compared with what the model gives."""
    model = OnnxModel(onnx_graphs.classifier(tmp_path / "m.onnx"))
    asked = {"in/x": np.array([[1, 0], [0, 1]], np.float32)}
    check_parity(model, recorded(tmp_path, {**asked, "out/label": np.array(["left", "right"])}))
    with pytest.raises(Unfit, match=r"output 'label' .*: 1 of 2 values differ; one is right, and was left"):
        check_parity(model, recorded(tmp_path, {**asked, "out/label": np.array(["left", "left"])}))
    whole = OnnxModel(onnx_graphs.times(tmp_path / "whole.onnx", 2, dtype=TensorProto.INT64))
    arrays = {"in/x": np.array([[1, 1000]], np.int64), "out/y": np.array([[2, 2001]], np.int64)}
    with pytest.raises(Unfit, match="1 of 2 values differ; one is 2000, and was 2001"):
        check_parity(whole, recorded(tmp_path, arrays))


def test_short_floats_and_texts_go_in_as_they_were_recorded(tmp_path: Path) -> None:
    """bfloat16 is recorded as float32, texts as numpy's own."""
    short = helper.make_tensor_type_proto(TensorProto.BFLOAT16, ["n"])
    model = OnnxModel(onnx_graphs.as_it_is(tmp_path / "short.onnx", short))
    numbers = {"in/x": np.array([1.5, 3.01], np.float32), "out/y": np.array([1.5, 3.0], np.float32)}
    check_parity(model, recorded(tmp_path, numbers))
    texts = OnnxModel(
        onnx_graphs.as_it_is(tmp_path / "texts.onnx", helper.make_tensor_type_proto(TensorProto.STRING, ["n"]))
    )
    check_parity(texts, recorded(tmp_path, {"in/x": np.array(["a", "bc"]), "out/y": np.array(["a", "bc"])}))


def test_a_sample_that_is_no_sample_is_told(tmp_path: Path) -> None:
    """Of another model, one the model fails on, or no file of numpy's."""
    model = OnnxModel(onnx_graphs.times(tmp_path / "m.onnx", 2.0))
    with pytest.raises(Unfit, match="its sample names w, z, which the model does not have"):
        check_parity(model, recorded(tmp_path, {"in/w": np.zeros(2), "out/z": np.zeros(2)}))
    with pytest.raises(Unfit, match="it does not answer its sample: the model failed on this input"):
        check_parity(model, recorded(tmp_path, {"in/x": np.zeros((1, 3), np.float32), "out/y": np.zeros(2)}))
    (tmp_path / "sample.npz").write_bytes(b"PK nothing")
    with pytest.raises(Unfit, match="its sample cannot be read: "):
        check_parity(model, tmp_path / "sample.npz")
    with pytest.raises(Unfit, match=r"its sample cannot be read: .*allow_pickle=False"):
        check_parity(model, recorded(tmp_path, {**ASKED, "out/y": np.array([{}], object)}))
