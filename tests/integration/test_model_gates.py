"""A model's own gate judges what people bring, and what jobs make that have no gate of their own."""

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from controller.models.places import Overtaken, place_in
from controller.models.uploads import Brought
from controller.stores.alias_moves import moves
from controller.stores.gates import results
from controller.stores.models import aliases
from schemas.broker import BrokerAddress
from schemas.gates import GateResult
from schemas.models import MODEL_FILE, DataSelection, NewVersion
from schemas.names import BlobRef
from schemas.runs import Exited, Outcome, Outputs, RunState
from tests.integration.api import Api, Document, problem
from tests.integration.registry_bench import Bench
from tests.integration.site import controller
from tests.integration.test_gates import linear
from tests.integration.test_uploads import mlflow_model, mlflow_version
from tests.onnx_graphs import times

RESCORE = {"metric": "rmse", "target": "y", "resamples": 100}


@pytest.fixture(name="bench")
async def _bench(broker: BrokerAddress, tmp_path: Path) -> AsyncIterator[Bench]:
    async with Bench.open(tmp_path, broker) as bench:
        yield bench


async def bring(bench: Bench, file: BlobRef | float, alias: str | None = None, **metrics: float) -> Brought:
    """Upload a model, or one that multiplies by a number."""
    model = bench.model(file) if isinstance(file, float) else file
    new = NewVersion(files={MODEL_FILE: model}, metrics=metrics, alias=alias)
    return await bench.uploads.bring("iris", new, by="ada")


def decided(bench: Bench, version: int) -> GateResult:
    """What was decided last of a version."""
    with bench.database.transaction() as session:
        return results(session, model="iris", version=version)[0]


def stand(bench: Bench) -> dict[str, int]:
    """Where the aliases stand."""
    with bench.database.transaction() as session:
        return {row.alias: row.version for row in aliases(session, model="iris")}


async def test_uploads_are_promoted_held_and_rejected(bench: Bench) -> None:
    """By the numbers that come with them: the alias of each follows, and what was found is kept with who brought it."""
    bench.gate({"metric": "f1", "better": "higher", "thresholds": [{"metric": "f1", "at_least": 0.5}]})
    told = [(await bring(bench, 2.0, f1=0.8)).told, (await bring(bench, 3.0, f1=0.7)).told]
    assert told == [
        "version 1 of iris is registered and in use, the first of its kind",
        "version 2 of iris is registered but not in use: f1 0.7 against 0.8 of version 1 is worse by more than 0",
    ]
    assert stand(bench) == {"champion": 1, "candidate": 2}
    low = await bring(bench, 4.0, alias="tried", f1=0.4)
    assert low.told.endswith("and rejected: f1 0.4 is below 0.5")
    assert (await bring(bench, 5.0)).told.endswith("and rejected: it was uploaded without f1")
    assert stand(bench) == {"champion": 1, "candidate": 2, "tried": 3}
    found = [decided(bench, version) for version in (1, 2, 3, 4)]
    assert [one.decision for one in found] == ["promote", "hold", "reject", "reject"]
    assert {one.by for one in found} == {"gate of model iris, for ada"}
    with bench.database.transaction() as session:
        (move,) = moves(session, model="iris", alias="champion", limit=10)
    assert (move.by, move.deploys) == ("gate of model iris, for ada", True)


async def test_a_champion_that_is_asked_for_has_to_pass(bench: Bench) -> None:
    """Held, it is registered and the alias stays, also when it is asked again; approved by a person, it moves."""
    bench.gate({"metric": "f1", "better": "higher"})
    file = bench.model(3.0)
    await bring(bench, 2.0, f1=0.8)
    for _ in range(2):
        refused = await bring(bench, file, alias="champion", f1=0.7)
        assert refused.card.version == 2
        assert "f1 0.7 against 0.8 of version 1 is worse" in refused.told
        assert "champion stays where it is, and `tidemill model approve iris:2 --reason …` overrides" in refused.told
        assert stand(bench) == {"champion": 1, "candidate": 2}
    with bench.database.transaction() as session:
        assert len(results(session, model="iris", version=2)) == 1
    assert (await bring(bench, 4.0, alias="champion", f1=0.9)).told.endswith("f1 0.9 against 0.8 of version 1")
    assert stand(bench)["champion"] == 3


async def test_deployments_wait_if_the_gate_says_so(bench: Bench) -> None:
    """With auto_promote a person approves, also when whoever uploads it asks for the champion."""
    bench.gate({"policy": "auto_promote"})
    await bring(bench, 2.0, alias="champion")
    with bench.database.transaction() as session:
        (move,) = moves(session, model="iris", limit=10)
    assert (move.alias, move.version, move.deploys) == ("champion", 1, False)
    bench.gate({"policy": "manual"})
    assert "promoting it is left to a person" in (await bring(bench, 3.0)).told


@pytest.fixture(name="holdout")
def _holdout(bench: Bench) -> DataSelection:
    """Rows in which y is a + 2 b."""
    rows = [{"a": a, "b": b, "y": a + 2 * b + 0.01 * (a - b)} for a in range(-5, 6) for b in range(-5, 6)]
    return DataSelection(query="SELECT 1", rows=len(rows), blob=bench.blobs.put_bytes(json.dumps(rows).encode()))


async def _register(bench: Bench, holdout: DataSelection, model: Path, **params: object) -> None:
    """A run that left this model, of a job with a gate that lets everything through."""
    run = bench.checking(bench.job(gate={}, params=params))
    outputs = Outputs(model=bench.blobs.put_file(model))
    await bench.register(bench.moved(run, holdout=holdout, exited=Exited(outcome=Outcome.OK, outputs=outputs)))


async def test_uploads_are_asked_about_the_champions_rows(bench: Bench, holdout: DataSelection, tmp_path: Path) -> None:
    """And without some, about those of the newest version that has some: a champion that was uploaded has none."""
    put = bench.blobs.put_file
    bench.gate({"rescore": {**RESCORE, "features": ["a", "b"]}})
    alone = await bring(bench, put(linear(tmp_path / "alone.onnx", [1.0, 2.0])))
    assert "rmse could not be told: no version of its model has a holdout" in alone.told
    await _register(bench, holdout, linear(tmp_path / "run.onnx", [1.0, 1.0]))
    better = await bring(bench, put(linear(tmp_path / "better.onnx", [1.0, 2.0], 0.001)))
    assert "of version 2 on the same 121 rows; the gain is +" in better.told
    worse = await bring(bench, put(linear(tmp_path / "worse.onnx", [0.0, 0.0])))
    assert "of version 3 on the same 121 rows; the gain is -" in worse.told
    assert stand(bench) == {"champion": 3, "candidate": 4}
    found = [decided(bench, number) for number in (3, 4)]
    assert [(one.champion, one.rows) for one in found] == [(2, 121), (3, 121)]


async def test_features_are_those_of_the_version_with_the_rows(
    bench: Bench, holdout: DataSelection, tmp_path: Path
) -> None:
    """An upload does not say which columns it takes: it takes those of the run's version, or is held."""
    put = bench.blobs.put_file
    bench.gate({"rescore": RESCORE})
    await _register(bench, holdout, linear(tmp_path / "run.onnx", [1.0, 1.0]), features=["a", "b"])
    better = await bring(bench, put(linear(tmp_path / "better.onnx", [1.0, 2.0])))
    assert "and in use: rmse" in better.told
    await _register(bench, holdout, linear(tmp_path / "other.onnx", [1.0, 1.5]))
    held = await bring(bench, put(linear(tmp_path / "again.onnx", [1.0, 2.0], 0.001)))
    assert "rmse could not be told: which columns iris:4 takes cannot be told" in held.told


async def test_two_who_upload_at_once_are_judged_one_after_the_other(bench: Bench) -> None:
    """Whoever is second is compared with the first, whose version was not there when it was looked at."""
    bench.gate({"metric": "f1", "better": "higher"})
    files = [bench.model(float(number)) for number in range(2, 6)]
    await asyncio.gather(*(bring(bench, file, f1=0.5) for file in files))
    assert [decided(bench, version).champion for version in (1, 2, 3, 4)] == [None, 1, 2, 3]
    assert stand(bench) == {"champion": 4}


async def test_a_gate_that_is_changed_meanwhile_judges_again(bench: Bench) -> None:
    """What was judged by a gate that is no more is not registered by it, nor what nobody judged by one that is new."""
    new = NewVersion(files={MODEL_FILE: bench.model(2.0)})
    checked = await bench.uploads.check(new.files)
    for before, after in (({"policy": "manual"}, {}), (None, {}), ({}, {"budgets": {"file_mb": 1.0}})):
        bench.gate(before)
        with bench.database.transaction() as session:
            place = place_in(session, model="iris")
        draft = await bench.uploads.draft(place, new, checked, by="ada")
        bench.gate(after)
        with pytest.raises(Overtaken), bench.database.transaction() as session:
            bench.uploads.add(session, draft)
    assert bench.versions() == []


async def test_a_job_has_its_own_gate_or_that_of_its_model(bench: Bench) -> None:
    """Without one it is judged by the model's; with one, however little it asks for, by its own alone."""
    bench.gate({"thresholds": [{"metric": "f1", "at_least": 0.5}]})
    bare = bench.job("bare", metrics=["f1"])
    own = bench.job("own", metrics=["f1"], gate={})
    beside = bench.job("beside", metrics=["f1"], update_existing=False)
    for job in (bare, own, beside):
        run = await bench.register(bench.checking(job, f1=0.4))
        assert run.state is RunState.SUCCEEDED
    found = [decided(bench, version) for version in (1, 2)]
    assert [(one.decision, one.by) for one in found] == [
        ("reject", "gate of model iris, for job bare"),
        ("promote", ""),
    ]
    assert stand(bench) == {"champion": 2}
    with bench.database.transaction() as session:
        assert results(session, model="iris-1", version=1)[0].decision == "promote"


async def test_without_a_gate_uploads_are_as_they_are_asked_for(bench: Bench) -> None:
    """Also once it is taken away again: nothing is judged, and aliases move as asked."""
    bench.gate({"policy": "manual"})
    first = await bring(bench, 2.0)
    bench.gate(None)
    assert (await bring(bench, 3.0, alias="champion")).told == ""
    assert (first.card.version, stand(bench)) == (1, {"champion": 2, "candidate": 1})
    with bench.database.transaction() as session:
        assert results(session, model="iris", version=2) == []


def _file(api: Api, home: Path, factor: float) -> Document:
    return api.file("tiny.onnx", times(home / "tiny.onnx", factor).read_bytes())


def test_a_document_gives_and_takes_the_gate(tmp_path: Path) -> None:
    """Its file is judged by the gate beside it, the answer says so; without `gate` there is none any more."""
    model: Document = {"kind": "Model", "name": "tiny", "gate": {"budgets": {"file_mb": 1.0}}}
    with Api.running(tmp_path) as api:

        def change(**more: object) -> Document:
            (made,) = api.apply({**model, **more}).raise_for_status().json()["changes"]
            return {key: made[key] for key in ("action", "version", "changed", "told")}

        told = "version 1 of tiny is registered and in use, the first of its kind"
        first = _file(api, tmp_path, 2.0)
        assert change(file=first) == {"action": "created", "version": 1, "changed": ["file"], "told": told}
        assert change(file=first) == {"action": "unchanged", "version": None, "changed": [], "told": ""}
        (shown,) = api.http.get("models").json()["items"]
        assert shown["gate"]["budgets"]["file_mb"] == 1.0
        tight = {"gate": {"policy": "manual"}, "file": _file(api, tmp_path, 3.0)}
        assert api.apply({**model, **tight}, dry_run=True).json()["changes"][0]["changed"] == ["gate", "file"]
        held = change(**tight)
        assert (held["version"], held["changed"]) == (2, ["gate", "file"])
        assert held["told"].endswith("promoting it is left to a person")
        (result,) = api.http.get("models/tiny/versions/2/gate").json()["items"]
        assert (result["decision"], result["by"]) == ("hold", "gate of model tiny, for upload")
        del model["gate"]
        assert change()["changed"] == ["gate"]
        assert api.http.get("models/tiny").json()["gate"] is None
        assert change(file=_file(api, tmp_path, 4.0))["told"] == ""
        assert api.http.get("models/tiny/versions/3/gate").json()["items"] == []


def test_who_applies_and_who_uploads_are_judged_one_after_the_other(tmp_path: Path) -> None:
    """Whichever of the two is second is compared with the other."""
    model: Document = {"kind": "Model", "name": "tiny", "gate": {"budgets": {"memory_mb": 4000.0}}}
    with Api.running(tmp_path) as api, ThreadPoolExecutor(2) as at_once:
        assert api.actions(model) == ["created"]
        applied = {**model, "file": _file(api, tmp_path, 2.0)}
        files = {MODEL_FILE: _file(api, tmp_path, 3.0)["blob"]}
        answers = [
            at_once.submit(api.apply, applied),
            at_once.submit(api.http.post, "models/tiny/versions", json={"files": files}),
        ]
        assert [answer.result().status_code for answer in answers] == [200, 201]
        found = [api.http.get(f"models/tiny/versions/{number}/gate").json()["items"] for number in (1, 2)]
        assert [result["champion"] for (result,) in found] == [None, 1]
        assert api.http.get("models/tiny/aliases/champion").json()["version"] == 2


def test_mistakes_in_the_gate_of_a_model_are_named(tmp_path: Path) -> None:
    """Of the gate alone, and of what its jobs do not give: with the job, or with the model if the job is there."""
    gated: Document = {"kind": "Model", "name": "tiny", "gate": {"thresholds": [{"metric": "f1", "at_least": 0.5}]}}
    rows: Document = {"kind": "Model", "name": "tiny", "gate": {"rescore": {"metric": "rmse", "target": "y"}}}
    with Api.running(tmp_path) as api:
        scripts = [api.file("train.py", b"print('training')")]
        job: Document = {"kind": "Job", "name": "train", "model": "tiny", "edge": "press-1", "scripts": scripts}

        def mistake(*documents: Document) -> tuple[str, str]:
            (error,) = problem(api.apply(*documents)).errors
            return error.where, error.message

        where, told = mistake({**gated, "gate": {"metric": "wear"}})
        assert where == "documents[0].gate"
        assert "`better` has to say whether wear is better when higher or lower" in told
        told = "train: it has no gate of its own, and that of model tiny judges its versions: "
        fault = "thresholds: 'f1' is none of the job's metrics"
        assert mistake(gated, job) == ("documents[1]", told + fault)
        assert api.actions(gated, {**job, "metrics": ["f1"]}) == ["created", "created"]
        assert mistake(job) == ("documents[0]", told + fault)
        where, told = mistake(rows)
        assert where == "documents[0].gate"
        assert "tiny: it judges the versions of job train, which has no gate of its own: rescore needs a `hold" in told
        assert api.actions(rows, {**job, "gate": {}}) == ["updated", "updated"]


def test_a_champion_that_is_refused_is_told_to_people(tmp_path: Path) -> None:
    """The command ends well, says what the gate found and what one can do; done, it is the champion."""
    with controller(tmp_path) as site:
        (site.home / "fleet.yaml").write_text("{kind: Model, name: tiny, gate: {policy: manual}}\n")
        assert site.run("apply", "-f", "fleet.yaml").returncode == 0
        times(site.home / "a.onnx", 2.0)
        made = site.run("model", "create", "tiny", "--file", "a.onnx", "--alias", "champion")
        assert (made.returncode, "tidemill model approve tiny:1 --reason" in made.stderr) == (0, True), made.stderr
        assert "manual" in site.run("model", "show", "tiny").stdout
        assert site.ask("model", "gate", "tiny:1")[0]["by"] == "gate of model tiny, for tidemill model"
        assert site.run("model", "approve", "tiny:1", "--reason", "tried by hand").returncode == 0
        assert site.ask("model", "show", "tiny")["aliases"][-1]["version"] == 1
        times(site.home / "a.onnx", 3.0)
        (site.home / "fleet.yaml").write_text("{kind: Model, name: tiny, gate: {policy: manual}, file: a.onnx}\n")
        applied = site.run("apply", "-f", "fleet.yaml")
        assert "Model tiny: version 2 of tiny is registered; promoting it is left to a person" in applied.stderr


def test_an_archive_goes_through_the_gate(tmp_path: Path) -> None:
    """Each of its versions is judged after those before it, and its champion is the one that the gate leaves."""
    with controller(tmp_path) as site:
        for factor, f1 in ((2.0, 0.8), (3.0, 0.7), (4.0, 0.9), (5.0, 0.2)):
            times(site.home / "a.onnx", factor)
            site.ask("model", "create", "tiny", "--file", "a.onnx", "--metric", f"f1={f1}", "--alias", "newest")
        assert site.run("model", "export", "tiny", "--output", "tiny.tidemill").returncode == 0
        gate = "{metric: f1, better: higher, thresholds: [{metric: f1, at_least: 0.5}]}"
        (site.home / "fleet.yaml").write_text(f"{{kind: Model, name: other, gate: {gate}}}\n")
        assert site.run("apply", "-f", "fleet.yaml").returncode == 0
        assert len(site.ask("model", "import", "other", "tiny.tidemill")) == 4
        shown = site.ask("model", "show", "other")
        assert {one["name"]: one["version"] for one in shown["aliases"]} == {
            "champion": 3,
            "candidate": 2,
            "newest": 4,
        }
        decisions = [one["gate"]["decision"] for one in reversed(shown["versions"])]
        assert decisions == ["promote", "hold", "promote", "reject"]
        assert shown["versions"][0]["gate"]["by"].startswith("gate of model other, for import from ")


def test_a_registry_of_mlflows_goes_through_the_gate(tmp_path: Path) -> None:
    """Its champion is not taken over: that is whichever version the model's own gate leaves; other aliases are."""
    with controller(tmp_path) as site:
        root = site.home / "mlruns"
        for number, factor in ((1, 2.0), (2, 3.0)):
            model = f"m-{str(number) * 32}"
            mlflow_model(root / f"0/models/{model}/artifacts", factor)
            mlflow_version(root, number, source=f"models:/{model}")
        (root / "models/plant/aliases").mkdir()
        (root / "models/plant/aliases/champion").write_text("2")
        (root / "models/plant/aliases/tried").write_text("2")
        (site.home / "fleet.yaml").write_text("{kind: Model, name: plant, gate: {policy: manual}}\n")
        assert site.run("apply", "-f", "fleet.yaml").returncode == 0
        came = site.run("model", "import", "plant", "mlruns")
        assert (came.returncode, came.stderr.count("promoting it is left to a person")) == (0, 2), came.stderr
        aliases = {one["name"]: one["version"] for one in site.ask("model", "show", "plant")["aliases"]}
        assert aliases == {"candidate": 2, "tried": 2}
