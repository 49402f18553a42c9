"""A process of its own that measures a version: ``python -m controller.gates.scoring``; JSON on stdin and stdout.

It asks models that nobody trusts yet: one that crashes, hangs or asks for all memory ends this process alone.
"""

import csv
import json
import os
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.gates.bootstrap import Rows, interval
from controller.gates.metrics import METRICS, Metric
from controller.gates.predictions import Predictor, label
from controller.gates.scoring_task import Rival, Scores, ScoringTask
from pipeline_runtime.models.bound_row import zeros_for
from pipeline_runtime.models.onnx_model import OnnxModel
from pipeline_runtime.models.tensors import DTYPES
from schemas.errors import TidemillError
from schemas.gates import HIGHER_IS_BETTER, Rescore
from schemas.queries import Format

Row = Mapping[str, object]
Array = NDArray[Any]

_CALLS, _WARM = 200, 20  # of which the latency is taken


def score(task: ScoringTask) -> Scores:
    """Measure what is asked for."""
    found = Scores()
    before_mb = _resident_mb()
    try:
        model = OnnxModel(task.candidate.model)
    except TidemillError as error:
        return Scores(fault=f"it does not load: {error}")
    if task.budgets:
        latency_ms = _latency_ms(model)
        found = Scores(latency_ms=latency_ms, memory_mb=max(0.0, _resident_mb() - before_mb))
    if task.rescore is None or task.rows is None:
        return found
    rows = _read(task.rows, task.format)
    return found.model_copy(update=_rescored(task, task.rescore, model, rows))


def _rescored(task: ScoringTask, rescore: Rescore, model: OnnxModel, rows: Sequence[Row]) -> dict[str, object]:
    metric = METRICS[rescore.metric]
    right = [row.get(rescore.target) for row in rows]
    if not rows or any(value is None for value in right):
        return {
            "trouble": f"the holdout has no rows with {rescore.target!r}" if not rows else _no_target(rescore, right)
        }
    try:
        mine, names = _answers(task, rescore, model, task.candidate, rows, metric)
        candidate = _computed(metric, right, mine, names)
    except (TidemillError, ValueError) as error:
        return {"rows": len(rows), "fault": str(error)}
    facts: dict[str, object] = {"rows": len(rows), "candidate": candidate}
    if task.champion is None:
        return facts
    try:
        rival = OnnxModel(task.champion.model)
        theirs, their_names = _answers(task, rescore, rival, task.champion, rows, metric)
        champion = _computed(metric, right, theirs, their_names)
    except (TidemillError, ValueError) as error:
        return {**facts, "trouble": f"the version in use could not be asked: {error}"}
    sign = 1.0 if HIGHER_IS_BETTER[rescore.metric] else -1.0
    mine_right, their_right = _targets(metric, right, names), _targets(metric, right, their_names)

    def gain(some: Rows) -> float:
        ours = metric.compute(mine_right[some], np.asarray(mine)[some])
        return sign * (ours - metric.compute(their_right[some], np.asarray(theirs)[some]))

    ends = interval(gain, len(rows), confidence=rescore.confidence, resamples=rescore.resamples)
    if ends is None:
        trouble = f"{rescore.metric} could not be computed for most samples of {len(rows)} rows"
        return {**facts, "champion": champion, "trouble": trouble}
    return {**facts, "champion": champion, "low": ends[0], "high": ends[1]}


def _no_target(rescore: Rescore, right: Sequence[object]) -> str:
    missing = sum(value is None for value in right)
    return f"{missing} of {len(right)} rows of the holdout have no {rescore.target!r}"


def _answers(
    task: ScoringTask, rescore: Rescore, model: OnnxModel, rival: Rival, rows: Sequence[Row], metric: Metric
) -> tuple[Array, list[str]]:
    predictor = Predictor(model, task.features, rescore.output, rival.labels)
    answers = np.asarray(predictor.answers(rows, metric.needs))
    if answers.dtype.kind == "f" and not np.isfinite(answers).all():
        bad = int((~np.isfinite(answers)).reshape(len(rows), -1).any(axis=1).sum())
        raise ValueError(f"its answers to {bad} of {len(rows)} rows hold NaN or infinities")
    return answers, predictor.class_names(rows) if metric.needs == "scores" else []


def _computed(metric: Metric, right: Sequence[object], answers: Array, names: Sequence[str]) -> float:
    value = float(metric.compute(_targets(metric, right, names), answers))
    if not np.isfinite(value):
        raise ValueError("the metric is no number for these rows")
    return value


def _targets(metric: Metric, right: Sequence[object], names: Sequence[str]) -> Array:
    """What is right, as the metric compares it: numbers, labels, or which column of the scores."""
    if metric.needs == "numbers":
        return np.asarray(right, np.float64)
    labels = [label(value) for value in right]
    if metric.needs == "labels":
        return np.asarray(labels)
    unknown = sorted({one for one in labels if one not in names})
    if unknown:
        raise ValueError(f"the holdout has the classes {', '.join(unknown)}, which the model does not score")
    return np.asarray([names.index(one) for one in labels])


def _latency_ms(model: OnnxModel) -> float | None:
    """p95 of single rows of zeros; None if nobody can make one up."""
    inputs = model.signature.inputs
    if any(spec.dtype not in DTYPES for spec in inputs):
        return None
    feed, outputs = {spec.name: zeros_for(spec) for spec in inputs}, [spec.name for spec in model.signature.outputs]
    times_ms: list[float] = []
    try:
        for _ in range(_WARM + _CALLS):
            began = time.perf_counter()
            model.ask(feed, outputs)
            times_ms.append((time.perf_counter() - began) * 1000)
    except TidemillError:
        return None
    return float(np.quantile(times_ms[_WARM:], 0.95))


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def _read(path: Path, written: Format) -> list[Row]:
    match written:
        case "json":
            rows: list[Row] = json.loads(path.read_bytes())
            return rows
        case "ndjson":
            return [json.loads(line) for line in path.read_bytes().splitlines() if line.strip()]
        case "csv":
            with path.open(encoding="utf-8", newline="") as file:
                return [{key: _number(text) for key, text in row.items()} for row in csv.DictReader(file)]
        case "parquet":
            table: list[Row] = import_module("pyarrow.parquet").read_table(path).to_pylist()
            return table


def _number(text: str | None) -> object:
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        return text


def main() -> None:
    """Measure once."""
    with suppress(OSError):  # when memory runs short, the kernel ends this process, and not the controller
        Path("/proc/self/oom_score_adj").write_text("1000")
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answer:
        os.dup2(2, 1)  # whatever a library prints must not be taken for an answer
        answer.write(score(ScoringTask.model_validate_json(sys.stdin.buffer.read())).model_dump_json())


if __name__ == "__main__":
    main()
