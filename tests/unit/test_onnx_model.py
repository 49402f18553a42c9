"""Models of every kind that training brings: loaded, described, asked."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from pipeline_runtime.models.onnx_model import OnnxModel
from schemas.errors import BadInput, BadPayload
from tests import onnx_graphs


def test_a_model_says_what_goes_in_and_comes_out(tmp_path: Path) -> None:
    """The signature is the model's own, with sizes, names of free sizes, and types."""
    signature = OnnxModel(onnx_graphs.times(tmp_path / "m.onnx", 2.0)).signature
    (given,) = signature.inputs
    assert (given.name, given.dtype, given.shape) == ("x", "tensor(float)", ("n", 2))
    assert [tensor.name for tensor in signature.outputs] == ["y"]


def test_a_classifier_answers_with_its_labels(tmp_path: Path) -> None:
    """The first output of a classifier with ZipMap is the labels; the maps behind it do no harm."""
    model = OnnxModel(onnx_graphs.classifier(tmp_path / "m.onnx"))
    model.warm()
    assert model.run(np.array([[2, 1], [0, 3]], np.float32)) == ["left", "right"]
    assert model.signature.outputs[1].dtype == "seq(map(string,tensor(float)))"


def test_maps_become_objects(tmp_path: Path) -> None:
    """A model that gives nothing but maps gives objects with text keys, as JSON needs."""
    model = OnnxModel(onnx_graphs.maps_only(tmp_path / "m.onnx"))
    assert model.run(np.array([[0.25, 0.75]], np.float32)) == [{"3": 0.25, "7": 0.75}]


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x08" * 50])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    """Garbage is refused with the file's name."""
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"bad\.onnx cannot be loaded"):
        OnnxModel(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """No file is the same kind of error as a bad one."""
    with pytest.raises(BadInput, match="cannot be loaded"):
        OnnxModel(tmp_path / "none.onnx")


def test_a_wrong_shape_names_both_shapes(tmp_path: Path) -> None:
    """Whoever calls the model directly gets the same message."""
    model = OnnxModel(onnx_graphs.times(tmp_path / "m.onnx", 2.0, dtype=TensorProto.DOUBLE))
    with pytest.raises(BadPayload, match=r"wants shape \[any, 2\], and was given \[1, 3\]"):
        model.run(np.zeros((1, 3)))


def test_the_runtime_tells_nobody_that_it_is_used(tmp_path: Path) -> None:
    """ONNX Runtime begins a telemetry session, with a file for it, when it is imported; not here."""
    subprocess.run(
        [sys.executable, "-c", "import pipeline_runtime.models.onnx_model"],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        check=True,
        timeout=60,
    )
    assert list(tmp_path.iterdir()) == []
