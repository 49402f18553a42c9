"""Models are checked in processes of their own, which outlive a good model and no bad one."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
from onnx import numpy_helper
from onnx.external_data_helper import set_external_data

from controller.checking.model_checks import ModelChecks
from schemas.errors import BadInput
from tests.integration.agent_process import until
from tests.onnx_graphs import times
from transport.blob_store import BlobDirectory


@pytest.fixture
async def checks() -> AsyncIterator[ModelChecks]:
    """Checks with no process yet; none is left at the end."""
    checks = ModelChecks()
    yield checks
    await checks.close()
    assert _processes() == []


async def test_one_process_checks_one_model_after_the_other(checks: ModelChecks, tmp_path: Path) -> None:
    """Good and refused models are checked by the same process, each by itself, and it ends when nobody asks."""
    good, bad = times(tmp_path / "good.onnx", 2.0), tmp_path / "bad.onnx"
    bad.write_bytes(b"no model")
    seen: set[int] = set()
    for _ in range(3):
        assert (await checks.check(good)).signature.opset == 17
        with pytest.raises(BadInput, match="no valid ONNX model"):
            await checks.check(bad)
        seen.update(process.pid for process in _processes())
    assert len(seen) == 1
    await until(lambda: not _processes())
    assert (await checks.check(good)).signature.opset == 17


async def test_a_process_that_died_of_an_earlier_model_is_no_fault_of_the_next(
    checks: ModelChecks, tmp_path: Path
) -> None:
    """A model whose check finds its process dead is checked by another one."""
    good = times(tmp_path / "good.onnx", 2.0)
    await checks.check(good)
    (process,) = _processes()
    process.kill()
    assert (await checks.check(good)).signature.opset == 17


async def test_models_that_come_together_wait_for_their_turn(checks: ModelChecks, tmp_path: Path) -> None:
    """Of many models that come together each gets its own answer, from few processes."""
    paths = [times(tmp_path / f"{number}.onnx", 2.0, shape=("n", number)) for number in range(1, 21)]
    found = await asyncio.gather(*(checks.check(path) for path in paths))
    assert [checked.signature.inputs[0].shape for checked in found] == [("n", number) for number in range(1, 21)]
    assert len(_processes()) <= max(2, psutil.cpu_count() or 1)


async def test_a_model_by_itself_takes_no_weights_of_others(checks: ModelChecks, tmp_path: Path) -> None:
    """Blobs of all versions lie in the same folders: a model that names one of them as its weights is refused."""
    store = BlobDirectory(tmp_path / "blobs")
    other = store.path(store.put_bytes(np.ones(2, np.float32).tobytes()).digest)
    proto = onnx.load(str(times(tmp_path / "m.onnx", 2.0)))
    (tensor,) = proto.graph.initializer
    tensor.raw_data = tensor.raw_data or numpy_helper.to_array(tensor).tobytes()
    set_external_data(tensor, other.name, length=4)
    tensor.ClearField("raw_data")
    alone = other.with_name("0" * 64)
    alone.write_bytes(proto.SerializeToString())
    with pytest.raises(BadInput, match="which is not among its files"):
        await checks.check(alone)


def _processes() -> list[psutil.Process]:
    children = psutil.Process().children()
    return [child for child in children if child.is_running() and "controller.checking.model_check" in _words(child)]


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it has just ended
        return []
