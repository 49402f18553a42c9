"""Models that are newer than the ONNX Runtime here, or that it does not know, are refused with what to do instead."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import onnx
import onnxruntime as ort
import pytest
from onnx import FunctionProto, ModelProto, TensorProto, helper

from controller.checking.model_checks import ModelChecks
from schemas.errors import BadInput

ML, MICROSOFT, OWN = "ai.onnx.ml", "com.microsoft", "acme.custom"
Opsets = dict[str, int]


@pytest.fixture(name="checks")
async def _checks() -> AsyncIterator[ModelChecks]:
    checks = ModelChecks()
    yield checks
    await checks.close()


def model(
    opsets: Opsets,
    *,
    operator: str = "Identity",
    of: str = "",
    functions: Sequence[FunctionProto] = (),
    ir_version: int = 10,
) -> ModelProto:
    """A model of one node."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in "xy")
    graph = helper.make_graph([helper.make_node(operator, ["x"], ["y"], domain=of)], "graph", [x], [y])
    imports = [helper.make_opsetid(domain, number) for domain, number in opsets.items()]
    return helper.make_model(graph, opset_imports=imports, functions=list(functions), ir_version=ir_version)


def own_function(opset: int) -> FunctionProto:
    """A function that a model brings itself."""
    relu = helper.make_node("Relu", ["a"], ["b"])
    return helper.make_function(OWN, "Bent", ["a"], ["b"], [relu], [helper.make_opsetid("", opset)])


def newest(domain: str) -> int:
    """The newest opset of a domain that the runtime loads."""
    number = 1 if domain else 17
    while _loads(model({"": 17, domain: number + 1})):
        number += 1
    return number


def _loads(proto: ModelProto) -> bool:
    try:
        ort.InferenceSession(proto.SerializeToString())
    except Exception:  # noqa: BLE001 - onnxruntime raises a class of its own for each of its codes
        return False
    return True


async def refusal(checks: ModelChecks, path: Path, proto: ModelProto) -> str:
    """Why a model is refused; empty if it is not."""
    path.write_bytes(proto.SerializeToString())
    try:
        await checks.check(path)
    except BadInput as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("domain", "named"), [("", ""), (ML, f" of {ML}"), (MICROSOFT, f" of {MICROSOFT}")])
async def test_an_opset_that_the_runtime_does_not_know(
    checks: ModelChecks, tmp_path: Path, domain: str, named: str
) -> None:
    """The newest that it loads is taken, and every later one is refused with it, be it known to onnx or to nobody."""
    most = newest(domain)
    assert await refusal(checks, tmp_path / "newest.onnx", model({"": 17, domain: most})) == ""
    for number in (most + 1, most + 2, 999, 2**31 - 1):
        told = await refusal(checks, tmp_path / "newer.onnx", model({"": 17, domain: number}))
        knows = f"ONNX Runtime {ort.__version__} knows {most} at most; export it with that or a lower one"
        assert told == f"model.onnx is of opset {number}{named}, and {knows}"


async def test_the_runtime_and_not_onnx_is_asked(checks: ModelChecks, tmp_path: Path) -> None:
    """The library that checks graphs is newer than the runtime: what only it knows is refused, also an IR version."""
    assert onnx.defs.onnx_opset_version() > newest("")
    told = await refusal(checks, tmp_path / "newer.onnx", model({"": onnx.defs.onnx_opset_version()}, operator="Relu"))
    assert f"knows {newest('')} at most" in told
    for ir_version in (onnx.IR_VERSION, onnx.IR_VERSION + 1):
        told = await refusal(checks, tmp_path / "newer.onnx", model({"": 17}, ir_version=ir_version))
        assert told.startswith(f"model.onnx is of IR version {ir_version}, and ONNX Runtime ")
        assert told.endswith(f" knows {onnx.IR_VERSION - 1} at most; save it as that")


async def test_no_setting_of_the_runtime_lets_one_in(
    checks: ModelChecks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its variable for opsets under development it would only warn, here and not on an edge."""
    newer = model({"": newest("") + 1})
    monkeypatch.setenv("ALLOW_RELEASED_ONNX_OPSET_ONLY", "0")
    assert _loads(newer)
    assert "at most" in await refusal(checks, tmp_path / "newer.onnx", newer)


async def test_operators_of_nobody(checks: ModelChecks, tmp_path: Path) -> None:
    """An unknown domain does no harm until an operator of it is used; then that is named."""
    assert await refusal(checks, tmp_path / "named.onnx", model({"": 17, OWN: 7})) == ""
    told = await refusal(checks, tmp_path / "used.onnx", model({"": 17, OWN: 7}, operator="Magic", of=OWN))
    assert told.startswith(f"model.onnx needs Magic of {OWN}, which ONNX Runtime ")
    undeclared = await refusal(checks, tmp_path / "used.onnx", model({"": 17}, operator="Magic", of=OWN))
    assert f"Magic of {OWN}" in undeclared
    assert (
        await refusal(checks, tmp_path / "gelu.onnx", model({"": 17, MICROSOFT: 1}, operator="Gelu", of=MICROSOFT))
        == ""
    )


async def test_functions_that_a_model_brings(checks: ModelChecks, tmp_path: Path) -> None:
    """They may be of another opset than the model, and not of one that the runtime does not know."""
    for opset, complaint in ((18, ""), (99, "is of opset 99, and")):
        proto = model({"": 17, OWN: 1}, operator="Bent", of=OWN, functions=[own_function(opset)])
        told = await refusal(checks, tmp_path / "own.onnx", proto)
        assert (complaint in told, bool(told)) == (True, bool(complaint)), told
