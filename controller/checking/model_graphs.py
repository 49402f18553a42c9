"""Everything that a model holds, however deep: its nodes, and the tensors that may lie in other files."""

from collections.abc import Iterable, Iterator

import onnx


def nodes_in(proto: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Of its graphs, of those within them, and of its functions."""
    for graph in _graphs(proto):
        yield from _within(graph.node)
    for function in proto.functions:
        yield from _within(function.node)


def tensors_in(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Dense ones and the parts of sparse ones: of graphs, of nodes' attributes, of what functions take by default."""
    for graph in _graphs(proto):
        yield from _of_graph(graph)
    for function in proto.functions:
        yield from _of_attributes(function.attribute_proto)
        yield from _of_nodes(function.node)


def _graphs(proto: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    yield proto.graph
    for training in proto.training_info:
        yield training.initialization
        yield training.algorithm


def _within(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _within(inner.node)


def _of_graph(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        yield from _of_attributes(node.attribute)


def _of_attributes(attributes: Iterable[onnx.AttributeProto]) -> Iterator[onnx.TensorProto]:
    for attribute in attributes:
        yield from (attribute.t, *attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
        for inner in (attribute.g, *attribute.graphs):
            yield from _of_graph(inner)
