"""ONNX's own tests of its operators, as questions to a model node and the answers that it should give."""

import warnings
from collections.abc import Awaitable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import defs, numpy_helper
from onnx.backend.test.case.test_case import TestCase
from onnx.backend.test.loader import load_model_tests

from pipeline_runtime.models.model_calls import ModelCalls
from pipeline_runtime.models.onnx_model import OnnxModel
from pipeline_runtime.node_type import Fittings
from pipeline_runtime.nodes.model import NODE, Params
from schemas.errors import TidemillError

APART = "its rows are not answered together"
_RUN: Any = None  # a model does not look at it
NEWEST_OPSET, NEWEST_IR = 26, 13  # that ONNX Runtime promises to know


def cases() -> list[TestCase]:
    """Every test of one operator."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they divide by zero on purpose
        found: list[TestCase] = load_model_tests(kind="node")
    return found


async def trouble(case: TestCase, folder: Path) -> str | None:
    """What a model node does with a case otherwise than it should; None when it agrees."""
    model, questions = _facts(case)
    try:
        node = _node(as_known(model), folder)
        for question, answers in questions:
            result = await _came(node.resolve(_value(model, question), _RUN))
            if difference := _difference(model, result, answers, case):
                return difference
    except TidemillError as error:
        return str(error)
    return None


async def trouble_together(case: TestCase, folder: Path) -> str | None:
    """The same of a case asked twice in one call; ``APART`` when its rows cannot be answered together."""
    model, questions = _facts(case)
    try:
        node = _node(_opened(as_known(model)), folder)
    except TidemillError:  # a size that it needs was taken away
        return APART
    if not node.together:
        return APART
    for question, answers in questions:
        for one in node.resolve_many([_value(model, question)] * 2, [_RUN] * 2):
            if difference := _difference(model, await _came(one), answers, case):
                return difference
    return None


def _facts(case: TestCase) -> tuple[onnx.ModelProto, Any]:
    assert case.model is not None
    assert case.data_sets is not None
    return case.model, case.data_sets


def _node(proto: onnx.ModelProto, folder: Path) -> ModelCalls:
    path = folder / "case.onnx"
    path.write_bytes(proto.SerializeToString())
    model = OnnxModel(path)
    model.usual_s = 0.0  # else each would be asked in a thread
    outputs = [spec.name for spec in model.signature.outputs]
    node = NODE.make(Params.model_validate({"model": "m", "outputs": outputs}), Fittings("predict", {"m": model}, {}))
    assert isinstance(node, ModelCalls)
    return node


def _value(model: onnx.ModelProto, question: Sequence[Any]) -> object:
    names = [given.name for given in model.graph.input]
    if len(names) > 1:
        return dict(zip(names, map(_as_json, question), strict=True))
    return _as_json(question[0] if question else None)


async def _came(result: object) -> object:
    return await result if isinstance(result, Awaitable) else result


def _difference(model: onnx.ModelProto, result: Any, answers: Sequence[Any], case: TestCase) -> str | None:
    if isinstance(result, Exception):
        return str(result)
    outputs = [result] if len(answers) == 1 else [result[given.name] for given in model.graph.output]
    for output, answer in zip(outputs, answers, strict=True):
        if not _agree(output, answer, case):
            return f"gave {str(output)[:300]} for {str(_as_json(answer))[:300]}"
    return None


def _agree(output: object, answer: object, case: TestCase) -> bool:
    if isinstance(answer, list):
        return (
            isinstance(output, list)
            and len(output) == len(answer)
            and all(_agree(one, other, case) for one, other in zip(output, answer, strict=True))
        )
    if answer is None or output is None:
        return output is answer
    wanted, there = _as_array(answer), np.asarray(output)
    if not wanted.size:
        return not there.size  # lists of nothing do not tell all of a shape
    if wanted.shape != there.shape:
        return False
    if wanted.dtype.kind in "fc":
        # What is rounded are the largest numbers of a sum; zeros are what is left of them.
        largest = np.max(np.abs(wanted), where=np.isfinite(wanted), initial=0.0)
        steps = largest * np.finfo(wanted.dtype).eps * 16
        return np.allclose(there, wanted, case.rtol, max(case.atol, steps), equal_nan=True)
    return np.array_equal(there, wanted)


def _as_json(value: object) -> object:
    """As it comes in a message; but an array with an axis of no length has no form there."""
    if isinstance(value, list):
        return [_as_json(one) for one in value]
    if value is None:
        return None
    array = _as_array(value)
    return array.tolist() if array.size else array


def _as_array(value: object) -> "np.ndarray[Any, Any]":
    array = numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)
    return array if array.dtype.isbuiltin == 1 else array.astype(np.float32)  # bfloat16 and the like


def as_known(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model in the newest opset that is known, if none of its operators has changed since."""
    older = onnx.ModelProto()
    older.CopyFrom(model)
    if all(_unchanged(node, older) for node in _nodes(older.graph)):
        for opset in older.opset_import:
            if opset.domain == "":
                opset.version = min(opset.version, NEWEST_OPSET)
        older.ir_version = min(older.ir_version, NEWEST_IR)
    return older


def _opened(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the first axis of everything that goes in and comes out free."""
    for value in [*model.graph.input, *model.graph.output]:
        if value.type.HasField("tensor_type") and value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_param = "n"
    return model


def _unchanged(node: onnx.NodeProto, model: onnx.ModelProto) -> bool:
    versions = {opset.domain: opset.version for opset in model.opset_import}
    if node.domain not in versions or not defs.has(node.op_type, versions[node.domain], node.domain):
        return False
    since: int = defs.get_schema(node.op_type, versions[node.domain], node.domain).since_version
    return node.domain != "" or since <= NEWEST_OPSET


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)
