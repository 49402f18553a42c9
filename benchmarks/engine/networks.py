"""Models of the sizes that are measured, made of random weights: nothing is fetched, and no answer means anything."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from tests.onnx_graphs import save

Array = NDArray[np.float32]
HIDDEN = 16


def scorer(path: Path, seed: int = 0) -> Path:
    """An MLP for four features, of a size for irises; a hidden unit of its own passes the first of them on."""
    random = np.random.default_rng(seed)
    first, second = (random.normal(size=shape).astype(np.float32) for shape in ((4, HIDDEN), (HIDDEN, 4)))
    first[0] = first[:, 0] = second[0] = second[:, 3] = 0
    first[0, 0] = second[0, 3] = 1
    nodes = [
        helper.make_node("Gemm", ["features", "first", "bias"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Gemm", ["active", "second"], ["scores"]),
    ]
    bias = np.linspace(0, 1, HIDDEN, dtype=np.float32)
    return _save(path, nodes, (4,), (4,), {"first": first, "second": second, "bias": bias})


def _save(
    path: Path, nodes: Sequence[NodeProto], given: Sequence[int], answer: Sequence[int], weights: dict[str, Array]
) -> Path:
    return save(
        path,
        nodes,
        helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", *given]),
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", *answer])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
