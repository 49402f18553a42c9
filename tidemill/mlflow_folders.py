"""MLflow's model folders with an ONNX flavour, read and written as documented: https://mlflow.org/docs/latest/ml/model/.

MLflow itself is not needed for it.
"""

import json
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

import yaml

from schemas.errors import BadInput, NotFound
from schemas.models import MODEL_FILE, ModelVersion, TensorSpec
from tidemill.version_files import files_in

DESCRIPTION = "MLmodel"
_NUMPY = {"float": "float32", "double": "float64", "string": "str", "bool": "bool"}
_METRIC = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_NOT_FILES = frozenset({DESCRIPTION, "conda.yaml", "python_env.yaml", "requirements.txt", "registered_model_meta"})


def find_mlflow(path: Path) -> Path | None:
    """The model folder that a path is or holds, such as an artifact folder of a run; None if there is none."""
    if not path.is_dir():
        return None
    found = sorted(path.rglob(DESCRIPTION), key=lambda one: len(one.parts))
    return found[0].parent if found else None


@dataclass(frozen=True, slots=True)
class MlflowModel:
    """What a model folder tells."""

    files: dict[str, Path]
    origin: str  # where it is from
    metrics: dict[str, float]  # as ``write_mlflow`` leaves them


def read_mlflow(folder: Path) -> MlflowModel:
    """The files of a version, where it is from, and how good it was.

    Raises:
        BadInput: it has no ONNX flavour, or names files outside of itself.
        NotFound: the model file that it names is not there.
    """
    try:
        described: Any = yaml.safe_load((folder / DESCRIPTION).read_text(encoding="utf-8"))
        flavour: Any = described["flavors"]["onnx"]
        data = str(flavour["data"])
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise BadInput(f"{folder / DESCRIPTION} describes no ONNX model: {error!r}") from error
    model = _inside(folder, data)
    if not model.is_file():
        raise NotFound(f"{folder / DESCRIPTION} names {data}, which is not there")
    files = {MODEL_FILE: model}
    for extra in files_in(model.parent):  # weights beside it
        if extra != model and extra.name not in _NOT_FILES:
            files[str(extra.relative_to(model.parent))] = extra
    run = described.get("run_id") or described.get("model_uuid") or "unknown"
    metadata = described.get("metadata")
    return MlflowModel(
        files=files,
        origin=f"MLflow run {run}, {described.get('utc_time_created') or 'of an unknown time'}",
        metrics=usable_metrics(metadata.get("metrics") if isinstance(metadata, dict) else None),
    )


def usable_metrics(told: object) -> dict[str, float]:
    """Those of MLflow's metrics that can be metrics here: finite, and named as a column may be."""
    found: dict[str, float] = {}
    for name, value in told.items() if isinstance(told, dict) else ():
        with suppress(ValueError, TypeError):
            if _METRIC.fullmatch(str(name)) and math.isfinite(number := float(value)):
                found[str(name)] = number
    return found


def write_mlflow(folder: Path, version: ModelVersion, files: Mapping[str, Path]) -> None:
    """Describe a version whose files lie in a folder already: as ``model.onnx`` and what belongs to it."""
    described = {
        "artifact_path": version.name,
        "flavors": {
            "onnx": {"data": MODEL_FILE, "onnx_version": "1.18.0", "providers": ["CPUExecutionProvider"]},
            "python_function": {
                "data": MODEL_FILE,
                "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
                "loader_module": "mlflow.onnx",
                "python_version": "3.11.0",
            },
        },
        "metadata": {
            "tidemill": f"{version.name}:{version.version}",
            "metrics": version.metrics,
            "files": sorted(files),
        },
        "model_uuid": version.files[MODEL_FILE].digest.removeprefix("sha256:")[:32],
        "signature": {
            "inputs": _tensors(version.signature.inputs),
            "outputs": _tensors(version.signature.outputs),
        },
        "utc_time_created": f"{version.created_at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}",
    }
    if version.lineage.run_id is not None:
        described["run_id"] = version.lineage.run_id.hex
    (folder / DESCRIPTION).write_text(yaml.safe_dump(described, sort_keys=False), encoding="utf-8")
    needs = ["mlflow", "numpy", "onnx", "onnxruntime"]
    (folder / "requirements.txt").write_text("".join(f"{name}\n" for name in needs), encoding="utf-8")
    conda = {"name": "mlflow-env", "dependencies": ["python=3.11", "pip", {"pip": needs}]}
    (folder / "conda.yaml").write_text(yaml.safe_dump(conda), encoding="utf-8")
    python = {"python": "3.11", "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]}
    (folder / "python_env.yaml").write_text(yaml.safe_dump(python), encoding="utf-8")


def _tensors(specs: tuple[TensorSpec, ...]) -> str:
    """MLflow keeps signatures as JSON in a text; an axis of any size is -1."""
    tensors = []
    for spec in specs:
        kind = spec.dtype.removeprefix("tensor(").removesuffix(")")
        shape = [axis if isinstance(axis, int) else -1 for axis in spec.shape]
        described = {"dtype": _NUMPY.get(kind, kind), "shape": shape}
        tensors.append({"name": spec.name, "type": "tensor", "tensor-spec": described})
    return json.dumps(tensors)


def _inside(folder: Path, place: str) -> Path:
    found = (folder / place).resolve()
    if not found.is_relative_to(folder.resolve()):
        raise BadInput(f"{folder / DESCRIPTION} names {place}, which lies outside of its folder")
    return found
