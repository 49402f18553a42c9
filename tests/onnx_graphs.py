"""Tiny ONNX models, made node by node."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Shape = Sequence[int | str]


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    given: onnx.ValueInfoProto,
    outputs: Sequence[onnx.ValueInfoProto],
    constants: Sequence[onnx.TensorProto] = (),
) -> Path:
    """Write a graph as a model of opset 17."""
    graph = helper.make_graph(nodes, "graph", [given], outputs, constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
    return path


def times(path: Path, factor: float, shape: Shape = ("n", 2), dtype: int = TensorProto.FLOAT) -> Path:
    """A model that multiplies its input: what answers tells which version answered."""
    number = numpy_helper.from_array(np.array(factor, helper.tensor_dtype_to_np_dtype(dtype)), "factor")
    return save(
        path,
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        helper.make_tensor_value_info("x", dtype, shape),
        [helper.make_tensor_value_info("y", dtype, shape)],
        [number],
    )


def classifier(path: Path) -> Path:
    """Two features; gives text labels first, and second a list of {label: score}, as scikit-learn's export does."""
    scores = helper.make_node(
        "LinearClassifier",
        ["x"],
        ["label", "score"],
        domain="ai.onnx.ml",
        coefficients=[1.0, -1.0, -1.0, 1.0],
        intercepts=[0.0, 0.0],
        classlabels_strings=["left", "right"],
        post_transform="NONE",
    )
    zipped = helper.make_node(
        "ZipMap", ["score"], ["scores"], domain="ai.onnx.ml", classlabels_strings=["left", "right"]
    )
    element = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    return save(
        path,
        [scores, zipped],
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2]),
        [
            helper.make_tensor_value_info("label", TensorProto.STRING, ["n"]),
            helper.make_value_info("scores", helper.make_sequence_type_proto(element)),
        ],
    )


def maps_only(path: Path) -> Path:
    """A model whose only output is a list of maps."""
    zipped = helper.make_node("ZipMap", ["x"], ["scores"], domain="ai.onnx.ml", classlabels_int64s=[3, 7])
    element = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    return save(
        path,
        [zipped],
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2]),
        [helper.make_value_info("scores", helper.make_sequence_type_proto(element))],
    )
