"""Models of more than the 2 GB that one ONNX file can have: their weights lie beside it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from pipeline_runtime.models.onnx_model import OnnxModel
from schemas.models import ModelVersion
from tests.integration.site import controller
from tests.onnx_graphs import save

COLUMNS = 1024
ROWS = 2**31 // COLUMNS // 4 + 1000  # float32: the last rows lie beyond 2 GiB
NEEDED_BYTES = 6 * 1024**3  # the source has holes; the blob, and a copy for its check or what is pulled, have none


@pytest.fixture(name="home")
def _home(tmp_path: Path) -> Iterator[Path]:
    """A folder that is not kept, as pytest's own are."""
    free = shutil.disk_usage(tmp_path).free
    if free < NEEDED_BYTES:
        pytest.skip(f"needs {NEEDED_BYTES / 1e9:.0f} GB of disk, and {free / 1e9:.0f} GB are free")
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
        yield Path(folder)


def table(folder: Path) -> None:
    """A model that gives rows of a table: all zeros but the last, which lies at the end of more than 2 GiB."""
    with (folder / "weights.bin").open("wb") as file:
        file.truncate((ROWS - 1) * COLUMNS * 4)
        file.seek(0, 2)
        file.write(np.full(COLUMNS, 7, np.float32).tobytes())
    weights = TensorProto(name="table", data_type=TensorProto.FLOAT, dims=[ROWS, COLUMNS])
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="weights.bin")
    save(
        folder / "model.onnx",
        [helper.make_node("Gather", ["table", "at"], ["row"])],
        helper.make_tensor_value_info("at", TensorProto.INT64, ["n"]),
        [helper.make_tensor_value_info("row", TensorProto.FLOAT, ["n", COLUMNS])],
        [weights],
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_model_of_more_than_2_gib(home: Path) -> None:
    """It is uploaded, checked with a sample, pulled whole, and answers out of its last bytes."""
    table(home)
    with controller(home) as site:
        made = site.ask("model", "create", "table", "--file", "model.onnx", "--file", "weights.bin")
        card = ModelVersion.model_validate(made)
        assert card.files["weights.bin"].size_bytes == ROWS * COLUMNS * 4 > 2**31
        assert card.sample is not None
        assert site.run("model", "pull", "table", "--output", "pulled").returncode == 0
    answer = OnnxModel(home / "pulled/model.onnx").ask({"at": np.array([0, ROWS - 1])}, ["row"])[0]
    assert answer[:, 0].tolist() == [0.0, 7.0]
