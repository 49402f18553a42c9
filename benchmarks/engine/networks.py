"""Models of the sizes that are measured, made of random weights: nothing is fetched, and no answer means anything."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from tests.onnx_graphs import save

Weights = dict[str, NDArray[np.generic]]
CHANNELS, STEPS = 3, 64  # of a window of readings
TREES, DEPTH = 100, 6
_HIDDEN, _FILTERS = 16, 16


def scorer(path: Path, seed: int = 0) -> Path:
    """An MLP for four features, of a size for irises; a hidden unit of its own passes the first of them on."""
    random = np.random.default_rng(seed)
    first, second = (random.normal(size=shape).astype(np.float32) for shape in ((4, _HIDDEN), (_HIDDEN, 4)))
    first[0] = first[:, 0] = second[0] = second[:, 3] = 0
    first[0, 0] = second[0, 3] = 1
    nodes = [
        helper.make_node("Gemm", ["features", "first", "bias"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Gemm", ["active", "second"], ["scores"]),
    ]
    bias = np.linspace(0, 1, _HIDDEN, dtype=np.float32)
    return saved(path, nodes, (4,), (4,), {"first": first, "second": second, "bias": bias})


def forest(path: Path) -> Path:
    """A hundred complete trees for four features, and the scores of three classes."""
    random = np.random.default_rng(0)
    inner, leaves = 2**DEPTH - 1, 2**DEPTH
    ids = list(range(inner + leaves))
    tree: dict[str, list[Any]] = {
        "nodes_nodeids": ids,
        "nodes_modes": ["BRANCH_LEQ"] * inner + ["LEAF"] * leaves,
        "nodes_truenodeids": [2 * node + 1 if node < inner else 0 for node in ids],
        "nodes_falsenodeids": [2 * node + 2 if node < inner else 0 for node in ids],
    }
    many: dict[str, Any] = {name: values * TREES for name, values in tree.items()}
    trees = range(TREES)
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["features"],
        ["scores"],
        domain="ai.onnx.ml",
        n_targets=3,
        nodes_treeids=[number for number in trees for _ in ids],
        nodes_featureids=random.integers(0, 4, TREES * len(ids)).tolist(),
        nodes_values=random.normal(size=TREES * len(ids)).tolist(),
        target_treeids=[number for number in trees for _ in range(leaves)],
        target_nodeids=list(range(inner, inner + leaves)) * TREES,
        target_ids=random.integers(0, 3, TREES * leaves).tolist(),
        target_weights=np.full(TREES * leaves, 1 / TREES).tolist(),
        **many,
    )
    return saved(path, [node], (4,), (3,), {})


def convolution(path: Path) -> Path:
    """A 1-D CNN for windows of readings: two convolutions, the mean over time, three scores."""
    random = np.random.default_rng(0)
    shapes = {"first": (_FILTERS, CHANNELS, 5), "second": (_FILTERS, _FILTERS, 5), "last": (_FILTERS, 3)}
    weights: Weights = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    nodes = [
        helper.make_node("Conv", ["features", "first"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "second"], ["c"]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("ReduceMean", ["d"], ["mean"], axes=[2], keepdims=0),
        helper.make_node("Gemm", ["mean", "last"], ["scores"]),
    ]
    return saved(path, nodes, (CHANNELS, STEPS), (3,), weights)


def saved(
    path: Path,
    nodes: Sequence[NodeProto],
    given: Sequence[int],
    answer: Sequence[int],
    weights: Weights,
    dtype: int = TensorProto.FLOAT,
) -> Path:
    """Write a model of ``features``, rows of that shape and type, and ``scores``."""
    return save(
        path,
        nodes,
        helper.make_tensor_value_info("features", dtype, ["rows", *given]),
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", *answer])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
