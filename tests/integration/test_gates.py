"""Gates measure versions themselves: on the same rows as the champion, by real models in a process of their own."""

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data
from sklearn import metrics as sk

from controller.gates.scorer import Scorer
from controller.gates.scoring_task import Rival, Scores, ScoringTask
from controller.stores.gates import results
from controller.stores.models import aliases
from schemas.broker import BrokerAddress
from schemas.gates import GateResult, Rescore
from schemas.jobs import JobSpec
from schemas.models import DataSelection
from schemas.runs import Exited, Outcome, Outputs, RunState
from tests.integration.api import Api, problem
from tests.integration.registry_bench import Bench
from tests.onnx_graphs import save, times

ROWS = 300


def linear(path: Path, weights: list[float], bias: float = 0.0) -> Path:
    """Gives a weighted sum of two features."""
    w = numpy_helper.from_array(np.array(weights, np.float32).reshape(2, 1), "w")
    b = numpy_helper.from_array(np.array([bias], np.float32), "b")
    return save(
        path,
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"])],
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2]),
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
        [w, b],
    )


def classes(path: Path, weights: list[float], labels: list[str]) -> Path:
    """Tells two classes apart by a line through zero; gives label and scores, as scikit-learn's export does."""
    scores = helper.make_node(
        "LinearClassifier",
        ["x"],
        ["label", "score"],
        domain="ai.onnx.ml",
        coefficients=[-one for one in weights] + weights,
        intercepts=[0.0, 0.0],
        classlabels_strings=labels,
        post_transform="SOFTMAX",
    )
    return save(
        path,
        [scores],
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2]),
        [
            helper.make_tensor_value_info("label", TensorProto.STRING, ["n"]),
            helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n", 2]),
        ],
    )


def nan_model(path: Path) -> Path:
    """Gives what is no number."""
    zero = numpy_helper.from_array(np.array(0.0, np.float32), "zero")
    return save(
        path,
        [
            helper.make_node("Mul", ["x", "zero"], ["none"]),
            helper.make_node("Div", ["none", "none"], ["nan"]),
            helper.make_node("ReduceSum", ["nan", "axes"], ["y"], keepdims=1),
        ],
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2]),
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
        [zero, numpy_helper.from_array(np.array([1], np.int64), "axes")],
    )


@pytest.fixture(name="rows")
def _rows(tmp_path: Path) -> Path:
    """A holdout: y is a + 2 b with a little noise, and kind tells its sign."""
    draw = np.random.default_rng(5)
    found = []
    for a, b, noise in draw.normal(0, 1, (ROWS, 3)):
        y = a + 2 * b + 0.1 * noise
        found.append({"position": 1, "a": a, "b": b, "y": y, "kind": "up" if y > 0 else "down"})
    path = tmp_path / "holdout.json"
    path.write_text(json.dumps(found))
    return path


def _task(rows: Path, candidate: Path, champion: Path | None, metric: str, target: str, **more: object) -> ScoringTask:
    rescore = Rescore.model_validate({"metric": metric, "target": target, **more})
    rival = Rival(model=champion) if champion else None
    return ScoringTask(
        candidate=Rival(model=candidate), champion=rival, rescore=rescore, features=("a", "b"), rows=rows
    )


async def test_numbers_are_scikit_learns(rows: Path, tmp_path: Path) -> None:
    """Each metric of regression and classification, computed here too from the same rows by hand."""
    good = linear(tmp_path / "good.onnx", [1.0, 1.5])
    kinds = classes(tmp_path / "kinds.onnx", [1.0, 0.5], ["down", "up"])
    table = json.loads(rows.read_bytes())
    right = np.array([row["y"] for row in table])
    said = np.array([row["a"] + 1.5 * row["b"] for row in table])
    kind = np.array([row["kind"] for row in table])
    margin = np.array([row["a"] + 0.5 * row["b"] for row in table])
    guessed = np.where(margin > 0, "up", "down")
    wanted = {
        ("mae", "y"): sk.mean_absolute_error(right, said),
        ("rmse", "y"): sk.root_mean_squared_error(right, said),
        ("r2", "y"): sk.r2_score(right, said),
        ("accuracy", "kind"): sk.accuracy_score(kind, guessed),
        ("f1_macro", "kind"): sk.f1_score(kind, guessed, average="macro"),
        ("roc_auc", "kind"): sk.roc_auc_score(kind == "up", margin),
    }
    for (metric, target), value in wanted.items():
        model = good if target == "y" else kinds
        found = await Scorer().score(_task(rows, model, model, metric, target, resamples=50))
        assert (found.fault, found.trouble, found.rows) == ("", "", ROWS), metric
        assert found.candidate == pytest.approx(value, abs=1e-4), metric
        assert (found.champion, found.low, found.high) == (found.candidate, 0.0, 0.0), metric


async def test_better_and_worse_are_told_apart(rows: Path, tmp_path: Path) -> None:
    """In the metric's own direction, and by more than chance."""
    good, bad = linear(tmp_path / "good.onnx", [1.0, 2.0]), linear(tmp_path / "bad.onnx", [1.0, 1.0])
    better = await Scorer().score(_task(rows, good, bad, "rmse", "y", resamples=200))
    worse = await Scorer().score(_task(rows, bad, good, "rmse", "y", resamples=200))
    assert better.low is not None
    assert better.low > 0.5
    assert worse.high is not None
    assert worse.high < -0.5


@pytest.mark.parametrize(
    ("make", "target", "fault", "trouble"),
    [
        (nan_model, "y", f"its answers to {ROWS} of {ROWS} rows hold NaN", ""),
        (lambda path: linear(path, [1.0, 2.0]), "nothing", "", "rows of the holdout have no 'nothing'"),
        (lambda path: linear(path, [1.0, 2.0]), "kind", "could not convert string to float", ""),
    ],
)
async def test_what_cannot_be_scored_is_told(
    make: object, target: str, fault: str, trouble: str, rows: Path, tmp_path: Path
) -> None:
    """What the candidate does wrong is its fault; what is wrong with the rows is not."""
    assert callable(make)
    found = await Scorer().score(_task(rows, make(tmp_path / "model.onnx"), None, "mae", target))
    assert fault in found.fault
    assert bool(fault) == bool(found.fault)
    assert trouble in found.trouble


@pytest.mark.parametrize(
    ("program", "trouble"),
    [
        ("import os; os.abort()", "the process that measured it ended (-6)"),
        ("import time; time.sleep(600)", "measuring it took over 1 s"),
        ("raise SystemExit('no scikit-learn here')", "no scikit-learn here"),
    ],
)
async def test_a_process_that_crashes_or_hangs_is_trouble_and_nothing_more(
    program: str, trouble: str, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever ends it: the version is held, and its run goes on."""
    python = tmp_path / "python"
    python.write_text(f"#!{sys.executable}\n{program}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    found = await Scorer(timeout_s=1.0).score(_task(rows, tmp_path / "none.onnx", None, "mae", "y"))
    assert trouble in found.trouble


async def test_budgets_are_measured(rows: Path, tmp_path: Path) -> None:
    """Time and memory of the model itself, whatever the rows."""
    task = ScoringTask(candidate=Rival(model=linear(tmp_path / "m.onnx", [1.0, 2.0])), budgets=True)
    found = await Scorer().score(task)
    assert found.latency_ms is not None
    assert found.latency_ms > 0
    assert found.memory_mb is not None
    assert found.memory_mb >= 0
    assert found == Scores(latency_ms=found.latency_ms, memory_mb=found.memory_mb)
    del rows


@pytest.fixture(name="bench")
async def _bench(broker: BrokerAddress, tmp_path: Path) -> AsyncIterator[Bench]:
    async with Bench.open(tmp_path, broker) as bench:
        yield bench


def _job(bench: Bench, **gate: object) -> JobSpec:
    return bench.job(
        holdout={"query": "SELECT * FROM readings"},
        metrics=[{"name": "accuracy", "required": False}],
        gate={"rescore": {"metric": "rmse", "target": "y", "features": ["a", "b"], "resamples": 100}, **gate},
    )


async def _register(bench: Bench, job: JobSpec, rows: Path, model: Path, **metrics: float) -> GateResult:
    """A run that left this model; what the gate said of its version."""
    run = bench.checking(job)
    holdout = DataSelection(query="SELECT 1", rows=ROWS, blob=bench.blobs.put_file(rows))
    outputs = Outputs(model=bench.blobs.put_file(model), metrics=metrics)
    run = bench.moved(run, holdout=holdout, exited=Exited(outcome=Outcome.OK, outputs=outputs))
    after = await bench.register(run)
    assert after.state is RunState.SUCCEEDED
    with bench.database.transaction() as session:
        found = results(session, model="iris", version=after.version or 0)
    assert found[0].reason == after.reason
    return found[0]


def _aliases(bench: Bench) -> dict[str, int]:
    with bench.database.transaction() as session:
        return {row.alias: row.version for row in aliases(session, model="iris")}


async def test_a_model_that_only_says_that_it_is_good_is_held(bench: Bench, rows: Path, tmp_path: Path) -> None:
    """Its scripts claim more than the champion's, and on the same rows it is worse: the numbers are kept."""
    job = _job(bench, metric="accuracy")
    first = await _register(bench, job, rows, linear(tmp_path / "a.onnx", [1.0, 2.0]), accuracy=0.9)
    assert (first.decision, first.champion) == ("promote", None)
    second = await _register(bench, job, rows, linear(tmp_path / "b.onnx", [1.0, 1.0]), accuracy=1.0)
    assert second.decision == "hold"
    assert "whose lower end has to be at least 0" in second.reason
    (rescored,) = [check for check in second.checks if check.name == "rescored rmse"]
    assert rescored.passed is False
    assert (rescored.value or 0) > (rescored.rival or 0)
    assert _aliases(bench) == {"champion": 1, "candidate": 2}
    third = await _register(bench, job, rows, linear(tmp_path / "c.onnx", [1.0, 2.0], 0.0001), accuracy=0.95)
    assert (third.decision, third.champion) == ("promote", 1) or "lower end" in third.reason


async def test_broken_versions_are_rejected(bench: Bench, rows: Path, tmp_path: Path) -> None:
    """By thresholds, by budgets, and by answers that are no numbers; no alias ever stands for them."""
    job = _job(
        bench,
        thresholds=[{"metric": "accuracy", "at_least": 0.5}],
        budgets={"file_mb": 1.0, "memory_mb": 4000.0},
    )
    good = linear(tmp_path / "a.onnx", [1.0, 2.0])
    assert (await _register(bench, job, rows, good, accuracy=0.5)).decision == "promote"
    low = await _register(bench, job, rows, good, accuracy=0.49)
    assert (low.decision, "accuracy 0.49 is below 0.5" in low.reason) == ("reject", True)
    nan = await _register(bench, job, rows, nan_model(tmp_path / "nan.onnx"), accuracy=0.9)
    assert (nan.decision, "hold NaN" in nan.reason) == ("reject", True)
    tight = _job(bench, budgets={"file_mb": 0.000_001})
    large = await _register(bench, tight, rows, good, accuracy=0.9)
    assert (large.decision, "MB of files" in large.reason) == ("reject", True)
    assert _aliases(bench) == {"champion": 1}


async def test_what_could_not_be_compared_is_held(bench: Bench, rows: Path, tmp_path: Path) -> None:
    """A champion that takes other features; a person decides."""
    job = _job(bench)
    three = onnx.load(str(linear(tmp_path / "a.onnx", [1.0, 2.0])))
    three.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 3
    three.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones((3, 1), np.float32), "w"))
    onnx.save(three, str(tmp_path / "three.onnx"))
    free = bench.job("other", model="iris")
    run = bench.moved(
        bench.checking(free),
        exited=Exited(outcome=Outcome.OK, outputs=Outputs(model=bench.blobs.put_file(tmp_path / "three.onnx"))),
    )
    await bench.register(run)
    held = await _register(bench, job, rows, linear(tmp_path / "b.onnx", [1.0, 2.0]))
    assert held.decision == "hold"
    assert "the version in use could not be asked" in held.reason
    assert _aliases(bench) == {"champion": 1, "candidate": 2}


async def test_a_champion_with_weights_in_other_files_is_asked_too(bench: Bench, rows: Path, tmp_path: Path) -> None:
    """It was uploaded as a folder: the gate lays its files out as they belong together."""
    model = onnx.load(str(linear(tmp_path / "champion.onnx", [1.0, 2.0])))
    weights = next(tensor for tensor in model.graph.initializer if tensor.name == "w")
    held = {"deep/weights.bin": bench.blobs.put_bytes(weights.raw_data)}
    set_external_data(weights, "deep/weights.bin", length=len(weights.raw_data))
    weights.ClearField("raw_data")
    await bench.upload({"model.onnx": bench.blobs.put_bytes(model.SerializeToString()), **held})
    worse = await _register(bench, _job(bench), rows, linear(tmp_path / "worse.onnx", [1.0, 1.0]))
    (found,) = [check for check in worse.checks if check.name == "rescored rmse"]
    assert (worse.decision, worse.champion, found.passed) == ("hold", 1, False)
    assert found.rival == pytest.approx(0.1, abs=0.02)


async def test_a_champion_with_broken_labels_holds_up_no_run(bench: Bench, rows: Path, tmp_path: Path) -> None:
    """What was uploaded beside it is no JSON: the candidate is registered, and held with the reason."""
    champion = bench.blobs.put_file(linear(tmp_path / "champion.onnx", [1.0, 2.0]))
    await bench.upload({"model.onnx": champion, "labels.json": bench.blobs.put_bytes(b"up, down")})
    held = await _register(bench, _job(bench), rows, linear(tmp_path / "better.onnx", [1.0, 2.0]))
    assert (held.decision, held.champion) == ("hold", 1)
    assert "could not be made ready to be asked" in held.reason


def test_a_person_decides_in_the_gates_place(tmp_path: Path) -> None:
    """Approved, a version is the champion; the decision, its reason and who took it are kept, the newest first."""
    with Api.running(tmp_path) as api:
        for factor in (2.0, 3.0):
            file = times(tmp_path / "tiny.onnx", factor).read_bytes()
            api.actions({"kind": "Model", "name": "tiny", "file": api.file("tiny.onnx", file)})
        gate = "models/tiny/versions/2/gate"
        assert api.http.get(gate).json()["items"] == []
        body = {"decision": "promote", "reason": "it was tried by hand"}
        assert api.http.post(f"{gate}/override", json=body, params={"by": "ada"}).json()["decision"] == "promote"
        assert api.http.post(f"{gate}/override", json={**body, "decision": "reject"}).status_code == 200
        told = [(one["decision"], one["by"]) for one in api.http.get(gate).json()["items"]]
        assert told == [("reject", "a person"), ("promote", "ada")]
        alias = api.http.get("models/tiny/aliases/champion").json()
        assert (alias["version"], alias["reason"]) == (2, "it was tried by hand")
        assert problem(api.http.post(f"{gate}/override", json={**body, "reason": ""})).status == 422
        assert problem(api.http.post("models/tiny/versions/9/gate/override", json=body)).status == 404
