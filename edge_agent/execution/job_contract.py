"""What the job contract gives a task's scripts: which variables, leading to which files. Pure."""

import json

from edge_agent.execution.executor import TaskKey
from schemas.errors import TaskFailed
from schemas.tasks import TaskSpec

PARAMS_LIMIT_BYTES = 100_000  # Linux takes 128 KiB in one variable


def variables(key: TaskKey, spec: TaskSpec) -> dict[str, str]:
    """Those that hold values: the job's own, then what says which run this is.

    Raises:
        TaskFailed: the parameters are too long for one.
    """
    params = json.dumps(spec.params)
    if len(params) > PARAMS_LIMIT_BYTES:
        raise TaskFailed(f"params are {len(params)} bytes as JSON; at most {PARAMS_LIMIT_BYTES} fit into a variable")
    return {
        **spec.variables,
        "TIDEMILL_RUN_ID": str(key.run_id),
        "TIDEMILL_JOB": spec.job,
        "TIDEMILL_ATTEMPT": str(key.attempt),
        "TIDEMILL_PARAMS": params,
    }


def paths(spec: TaskSpec) -> dict[str, str]:
    """Those that lead to files and folders, by place in the attempt's folder.

    Raises:
        TaskFailed: a metric's variable has another meaning already.
    """
    found = {
        "model_file_path": "output/model.onnx",
        "additional_output_folder_path": "output/additional_output/",
        "progress_path": "output/progress.jsonl",
        "metrics_path": "output/metrics.json",
    }
    if spec.base_model is not None:
        found["base_model_path"] = "input/base_model.onnx"
    if spec.holdout is not None:
        found["holdout_data_path"] = spec.holdout.place
    for data in spec.data:
        found[f"collection_data_{data.index}_path"] = data.place
    for metric in (*spec.metrics, *spec.optional_metrics):
        variable = f"{metric}_path"
        if variable in {*found, "base_model_path", "holdout_data_path", "edge_folder_path"}:
            raise TaskFailed(f"the metric {metric!r} cannot have that name: {variable} is part of the job contract")
        found[variable] = f"output/metrics/{metric}.txt"
    return found
