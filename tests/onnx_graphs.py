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
    given: onnx.ValueInfoProto | Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    constants: Sequence[onnx.TensorProto] = (),
    opset: int = 17,
) -> Path:
    """Write a graph as a model."""
    inputs = [given] if isinstance(given, onnx.ValueInfoProto) else given
    graph = helper.make_graph(nodes, "graph", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8 if opset < 19 else 9), str(path))
    return path


def times(path: Path, factor: float, shape: Shape | None = ("n", 2), dtype: int = TensorProto.FLOAT) -> Path:
    """A model that multiplies its input: what answers tells which version answered. No shape: it tells none."""
    number = numpy_helper.from_array(np.array(factor, helper.tensor_dtype_to_np_dtype(dtype)), "factor")
    return save(
        path,
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        helper.make_tensor_value_info("x", dtype, shape),
        [helper.make_tensor_value_info("y", dtype, shape)],
        [number],
    )


def misfit(path: Path) -> Path:
    """A model that does not tell how many features it takes, and answers no row of two."""
    return save(
        path,
        [helper.make_node("Mul", ["x", "three"], ["y"])],
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", "features")),
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", "features"))],
        [numpy_helper.from_array(np.ones(3, np.float32), "three")],
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


def several(path: Path) -> Path:
    """Two inputs, ``a`` with two columns and ``b`` with one; their sum, the larger column, and how sure that is."""
    return save(
        path,
        [
            helper.make_node("Add", ["a", "b"], ["sum"]),
            helper.make_node("ArgMax", ["sum"], ["class"], axis=1, keepdims=0),
            helper.make_node("Softmax", ["sum"], ["scores"], axis=1),
        ],
        [
            helper.make_tensor_value_info("a", TensorProto.FLOAT, ["n", 2]),
            helper.make_tensor_value_info("b", TensorProto.FLOAT, ["n", 1]),
        ],
        [
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["n", 2]),
            helper.make_tensor_value_info("class", TensorProto.INT64, ["n"]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 2]),
        ],
    )


def running_total(path: Path) -> Path:
    """A model whose first axis is time: each row's answer is the sum of all rows up to it."""
    return save(
        path,
        [helper.make_node("CumSum", ["x", "axis"], ["y"])],
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["t", 2]),
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["t", 2])],
        [numpy_helper.from_array(np.array(0, np.int64), "axis")],
    )


def picky(path: Path) -> Path:
    """Looks up ``x`` in a table of three: fails on any other index, and so does every call that holds one."""
    return save(
        path,
        [helper.make_node("Gather", ["table", "x"], ["y"])],
        helper.make_tensor_value_info("x", TensorProto.INT64, ["n", 1]),
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(np.array([0.5, 1.5, 2.5], np.float32), "table")],
    )


def as_it_is(path: Path, value_type: onnx.TypeProto) -> Path:
    """A model that gives back what it is given, of any type."""
    return save(
        path,
        [helper.make_node("Identity", ["x"], ["y"])],
        helper.make_value_info("x", value_type),
        [helper.make_value_info("y", value_type)],
        opset=19,
    )
