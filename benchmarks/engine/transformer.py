"""A text classifier of MiniLM's size: six layers of 384, twelve heads, and two scores; of random weights."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper

from benchmarks.engine.networks import Weights, saved

TOKENS = 8
WORDS = 1000  # MiniLM knows 30,522, which costs memory but no time
_LAYERS, _WIDTH, _HEADS, _INNER = 6, 384, 12, 1536


class _Graph:
    """Nodes and weights, added one after the other."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: Weights = {}
        self._random = np.random.default_rng(0)

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:  # noqa: ANN401 - ONNX has them of many types
        """A node with one output; its name is returned."""
        output = f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def weight(self, *shape: int) -> str:
        """Random numbers, small enough for sums of them to stay small."""
        return self.constant((self._random.normal(size=shape) / math.sqrt(shape[0])).astype(np.float32))

    def constant(self, array: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]") -> str:
        """These numbers."""
        name = f"weight{len(self.weights)}"
        self.weights[name] = array
        return name

    def dense(self, given: str, width: int, to: int) -> str:
        """A linear layer."""
        return self.add("Add", self.add("MatMul", given, self.weight(width, to)), self.weight(to))

    def norm(self, given: str) -> str:
        """The mean 0 and the deviation 1 in each row."""
        ones, zeros = np.ones(_WIDTH, np.float32), np.zeros(_WIDTH, np.float32)
        return self.add("LayerNormalization", given, self.constant(ones), self.constant(zeros), axis=-1)

    def attention(self, given: str) -> str:
        """Twelve heads."""
        heads = self.constant(np.array([0, TOKENS, _HEADS, _WIDTH // _HEADS], np.int64))
        query, key, value = (
            self.add("Transpose", self.add("Reshape", self.dense(given, _WIDTH, _WIDTH), heads), perm=order)
            for order in ((0, 2, 1, 3), (0, 2, 3, 1), (0, 2, 1, 3))
        )
        scale = self.constant(np.array(1 / math.sqrt(_WIDTH // _HEADS), np.float32))
        shares = self.add("Softmax", self.add("Mul", self.add("MatMul", query, key), scale), axis=-1)
        mixed = self.add("Transpose", self.add("MatMul", shares, value), perm=(0, 2, 1, 3))
        joined = self.add("Reshape", mixed, self.constant(np.array([0, TOKENS, _WIDTH], np.int64)))
        return self.dense(joined, _WIDTH, _WIDTH)

    def gelu(self, given: str) -> str:
        """As BERT has it, by the error function."""
        root, one, half = (self.constant(np.array(number, np.float32)) for number in (math.sqrt(2), 1.0, 0.5))
        inner = self.add("Add", self.add("Erf", self.add("Div", given, root)), one)
        return self.add("Mul", self.add("Mul", given, inner), half)


def transformer(path: Path) -> Path:
    """Rows of eight tokens in, two scores out."""
    graph = _Graph()
    state = graph.add("Gather", graph.weight(WORDS, _WIDTH), "features")
    state = graph.norm(graph.add("Add", state, graph.weight(TOKENS, _WIDTH)))
    for _ in range(_LAYERS):
        state = graph.norm(graph.add("Add", state, graph.attention(state)))
        inner = graph.dense(graph.gelu(graph.dense(state, _WIDTH, _INNER)), _INNER, _WIDTH)
        state = graph.norm(graph.add("Add", state, inner))
    mean = graph.add("ReduceMean", state, axes=[1], keepdims=0)
    graph.nodes.append(helper.make_node("Gemm", [mean, graph.weight(_WIDTH, 2)], ["scores"]))
    return saved(path, graph.nodes, (TOKENS,), (2,), graph.weights, TensorProto.INT64)
