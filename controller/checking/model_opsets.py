"""What the ONNX Runtime here is too old for, or does not know: found out by having it load models of one node."""

import tempfile
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from controller.checking.model_graphs import nodes_in
from pipeline_runtime.models.onnx_model import RUNTIME, OnnxModel
from schemas.errors import BadInput

_STANDARD = ""  # the domain that is also called ai.onnx
_OLD_IR, _OLD_OPSET = 8, 13  # known to every runtime that is in use
_ABSURD = 2**31 - 1  # a domain that is known at all is not known as this
_NAMED = 5


def unknown_part(proto: onnx.ModelProto) -> str:
    """What of a model that does not load is newer than the runtime, or foreign to it; empty if nothing is."""
    return next(_newer(proto), "") or _foreign(proto)


def _newer(proto: onnx.ModelProto) -> Iterator[str]:
    if proto.ir_version > _OLD_IR and not _loads(ir_version=proto.ir_version):
        most = _most(_OLD_IR, proto.ir_version, lambda number: _loads(ir_version=number))
        yield f"model.onnx is of IR version {proto.ir_version}, and {RUNTIME} knows {most} at most; save it as that"
    entries = [*proto.opset_import, *(entry for function in proto.functions for entry in function.opset_import)]
    for entry in entries:
        domain = _STANDARD if entry.domain == "ai.onnx" else entry.domain
        known = 0 if domain else _OLD_OPSET
        if entry.version > known and not _loads(domain=domain, opset=entry.version):
            most = _most(known, entry.version, partial(_loads_opset, domain))
            which = f"opset {entry.version}" + (f" of {domain}" if domain else "")
            yield f"model.onnx is of {which}, and {RUNTIME} knows {most} at most; export it with that or a lower one"


def _foreign(proto: onnx.ModelProto) -> str:
    own = {(function.domain, function.name) for function in proto.functions}
    used = {(node.domain, node.op_type) for node in nodes_in(proto) if node.domain not in {_STANDARD, "ai.onnx"}}
    found = sorted(f"{name} of {domain}" for domain, name in used - own if _loads_opset(domain, _ABSURD))
    if not found:
        return ""
    named = ", ".join(found[:_NAMED])
    return f"model.onnx needs {named}, which {RUNTIME} does not know; export it without operators of your own"


def _most(known: int, asked: int, loads: Callable[[int], bool]) -> int:
    """The highest number that loads, between one that does and one that does not."""
    while asked - known > 1:
        middle = (known + asked) // 2
        known, asked = (middle, asked) if loads(middle) else (known, middle)
    return known


def _loads_opset(domain: str, opset: int) -> bool:
    return _loads(domain=domain, opset=opset)


@lru_cache(1024)  # what uploads say has no end
def _loads(*, ir_version: int = _OLD_IR, domain: str = _STANDARD, opset: int = _OLD_OPSET) -> bool:
    """Whether the runtime takes a model that passes on what it is given, and says to be of these."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "graph", [x], [y])
    opsets = [helper.make_opsetid(of, number) for of, number in {_STANDARD: _OLD_OPSET, domain: opset}.items()]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        file.write(model.SerializeToString())
        file.flush()
        try:
            OnnxModel(Path(file.name))
        except BadInput:
            return False
    return True
