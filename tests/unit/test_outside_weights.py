"""Wherever a model names files for its weights, they are its version's own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import GraphProto, ModelProto, SparseTensorProto, TensorProto, helper, numpy_helper

from controller.checking.model_check import outside_fault

X, Y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy")


def stored(*locations: str, name: str = "w") -> TensorProto:
    """A tensor whose bytes lie in a file; with several locations it depends on the reader in which."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    for location in locations:
        tensor.external_data.add(key="location", value=location)
    return tensor


def sparse(values: TensorProto) -> SparseTensorProto:
    """The same with zeros left out."""
    return SparseTensorProto(values=values, indices=numpy_helper.from_array(np.array([0, 1]), "at"), dims=[2])


def graph(**parts: Any) -> GraphProto:
    """A graph that multiplies by ``w``, with these fields of its own."""
    return GraphProto(name="graph", input=[X], output=[Y], node=[helper.make_node("Mul", ["x", "w"], ["y"])], **parts)


def model(*, within: GraphProto | None = None, **parts: Any) -> ModelProto:
    """A model with these fields of its own."""
    return ModelProto(graph=within or graph(), ir_version=10, opset_import=[helper.make_opsetid("", 17)], **parts)


def constant(**value: Any) -> GraphProto:
    """A graph with a node that is a constant."""
    found = graph()
    found.node.append(helper.make_node("Constant", [], ["w"], **value))
    return found


def deep(tensor: TensorProto) -> GraphProto:
    """A graph with a branch within a branch."""
    inner = graph(initializer=[tensor])
    middle = GraphProto(node=[helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner)])
    return GraphProto(node=[helper.make_node("If", ["c"], ["y"], then_branch=middle, else_branch=middle)])


def function(found: GraphProto) -> ModelProto:
    """A model whose function has these nodes."""
    made = helper.make_function("own", "F", ["x"], ["y"], list(found.node), [helper.make_opsetid("", 17)])
    return model(functions=[made])


def by_default(tensor: TensorProto) -> ModelProto:
    """A model whose function has an attribute with this as its default."""
    found = function(graph())
    found.functions[0].attribute_proto.append(helper.make_attribute("weights", tensor))
    return found


PLACES: dict[str, Callable[[TensorProto], ModelProto]] = {
    "initializer": lambda tensor: model(within=graph(initializer=[tensor])),
    "values of a sparse initializer": lambda tensor: model(within=graph(sparse_initializer=[sparse(tensor)])),
    "indices of a sparse initializer": lambda tensor: model(
        within=graph(sparse_initializer=[SparseTensorProto(indices=tensor)])
    ),
    "constant": lambda tensor: model(within=constant(value=tensor)),
    "sparse constant": lambda tensor: model(within=constant(sparse_value=sparse(tensor))),
    "branch of a branch": lambda tensor: model(within=deep(tensor)),
    "function": lambda tensor: function(constant(value=tensor)),
    "sparse constant of a function": lambda tensor: function(constant(sparse_value=sparse(tensor))),
    "branch in a function": lambda tensor: function(deep(tensor)),
    "default of a function's attribute": by_default,
    "training": lambda tensor: model(training_info=[{"algorithm": graph(initializer=[tensor])}]),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "locations",
    [
        ("../outside.bin",),
        ("/etc/passwd",),
        ("below/../../outside.bin",),
        ("./inside.bin",),
        ("..\\outside.bin",),
        ("inside.bin\x00",),
        ("",),
        (),
        ("inside.bin", "../outside.bin"),
        ("../outside.bin", "inside.bin"),
        ("*/_ORT_MEM_ADDR_/*",),
    ],
)
def test_no_file_but_the_version_s_own(tmp_path: Path, place: str, locations: tuple[str, ...]) -> None:
    """Nothing leads out of the folder, whichever part of the model names it, and of several names each counts."""
    (tmp_path / "outside.bin").touch()
    folder = tmp_path / "files"
    marker = folder / "*/_ORT_MEM_ADDR_/*"  # a file may be called so; to the runtime it is a place in memory
    marker.parent.mkdir(parents=True)
    for file in (marker, folder / "inside.bin"):
        file.touch()
    named = next((each for each in locations if each != "inside.bin"), "")
    fault = outside_fault(PLACES[place](stored(*locations)), folder)
    assert fault == f"model.onnx keeps weights in {named!r}, which is no file beside it"


@pytest.mark.parametrize("place", PLACES)
def test_files_of_the_version(tmp_path: Path, place: str) -> None:
    """One in the folder or below it will do; one that is missing is named, and a model by itself has none."""
    (tmp_path / "below").mkdir()
    (tmp_path / "below/inside.bin").touch()
    proto = PLACES[place](stored("below/inside.bin"))
    assert outside_fault(proto, tmp_path) == ""
    assert "below/inside.bin, which is not among its files" in outside_fault(proto, tmp_path / "below")
    assert "below/inside.bin, which is not among its files" in outside_fault(proto, None)
