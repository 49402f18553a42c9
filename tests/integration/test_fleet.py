"""Applying documents: what is wrong is told with its place and changes nothing; what is right is applied once."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.api import Api, Document, problem
from tests.onnx_graphs import times

BLOB = {"digest": f"sha256:{'0' * 64}", "size_bytes": 1}
READINGS: Document = {
    "kind": "Collection",
    "name": "readings",
    "columns": {"value": "real", "label": "text"},
    "topics": ["plant/+/readings"],
}
PIPELINE: Document = {
    "kind": "Pipeline",
    "name": "answers",
    "nodes": [
        {"id": "in", "type": "mqtt_sub", "topic": "asks"},
        {"id": "ask", "type": "model", "model": "tiny", "inputs": ["in"]},
        {"id": "tell", "type": "library", "library": "pipelib_tell", "inputs": ["ask"]},
        {"id": "out", "type": "mqtt_pub", "topic": "answers", "inputs": ["tell"]},
    ],
}
SHADOW: Document = {"id": "compare", "type": "shadow", "model": "great", "against": "ask", "inputs": ["in", "ask"]}
DEPLOYMENT: Document = {"kind": "Deployment", "name": "here", "edges": ["press-1"], "pipeline": "answers"}


class Fleet(Api):
    """A controller with one document of each kind."""

    home: Path

    def job(self, **changes: object) -> Document:
        """A job that nothing is wrong with but what is changed."""
        script = self.file("train.py", b"print('training')")
        query = {"query": "SELECT value FROM readings", "new_data_only": True, "collection": "readings"}
        whole = {"kind": "Job", "name": "retrain", "model": "tiny", "edge": "press-1", "scripts": [script]}
        return {**whole, "queries": [query], "schedule": {"every": "1h"}, **changes}

    def library(self, source: str, **more: object) -> Document:
        """A library of this source."""
        return {"kind": "Library", "name": "pipelib_tell", "file": self.file("tell.py", source.encode()), **more}

    def model(self, factor: float = 2.0) -> Document:
        """A model with a file that can be served."""
        content = times(self.home / "tiny.onnx", factor).read_bytes()
        return {"kind": "Model", "name": "tiny", "file": self.file("tiny.onnx", content)}

    def documents(self) -> list[Document]:
        """One of each kind, in an order in which each refers to later ones."""
        library = self.library("def exec(input):\n    return input\n")
        return [DEPLOYMENT, PIPELINE, self.job(), library, self.model(), READINGS]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A controller to which one document of each kind was applied."""
    home = tmp_path_factory.mktemp("fleet")
    with Fleet.running(home) as running:
        assert isinstance(running, Fleet)
        running.home = home
        assert running.actions(*running.documents()) == ["created"] * 6
        yield running


def query(sql: str, **more: object) -> dict[str, Any]:
    """The part of a job that says which rows it wants."""
    return {"queries": [{"query": sql, **more}]}


def node(number: int, **changes: object) -> Document:
    """The pipeline with one node changed."""
    nodes = [{**each, **(changes if index == number else {})} for index, each in enumerate(PIPELINE["nodes"])]
    return {**PIPELINE, "nodes": nodes}


def collecting(collection: str, *columns: str) -> list[Document]:
    """The pipeline with a node that collects, applied with a collection that is new."""
    keep: Document = {"id": "keep", "type": "collect", "collection": collection, "inputs": ["ask"]}
    keep["columns"] = dict.fromkeys(columns, "x")
    return [{**PIPELINE, "nodes": [*PIPELINE["nodes"], keep]}, {**READINGS, "name": "answered", "topics": []}]


Make = Callable[[Fleet], list[Document]]

MISTAKES: dict[str, tuple[Make, str, str]] = {
    "unknown kind": (lambda _: [{"kind": "Robot"}], "documents[0]", "'Robot'"),
    "no kind": (lambda _: [{"name": "a"}], "documents[0]", "has no kind"),
    "unknown key": (lambda f: [READINGS, f.job(shedule={})], "documents[1].shedule", "no such key"),
    "unknown key inside": (lambda f: [f.job(limits={"cpu": 1})], "documents[0].limits.cpu", "no such key"),
    "missing key": (lambda _: [{"kind": "Model"}], "documents[0].name", "is needed"),
    "wrong type": (lambda f: [f.job(min_rows="many")], "documents[0].min_rows", "valid integer"),
    "no mapping": (lambda _: [7], "documents[0]", "is no mapping of keys to values"),  # type: ignore[list-item]
    "bad name": (lambda _: [{"kind": "Model", "name": "../up"}], "documents[0].name", "does not fit"),
    "duplicate": (lambda _: [READINGS, READINGS], "documents[1].name", "two documents of kind Collection"),
    "no SELECT": (lambda f: [f.job(**query("DELETE FROM readings"))], "documents[0].queries[0].query", "one SELECT"),
    "two statements": (
        lambda f: [f.job(**query("SELECT value FROM readings; DROP TABLE readings"))],
        "documents[0].queries[0].query",
        "line 1, column 27",
    ),
    "unknown collection": (
        lambda f: [f.job(**query("SELECT 1 FROM redings"))],
        "documents[0].queries[0].query",
        "there is no collection redings (line 1, column 15); there are: readings",
    ),
    "unknown column": (
        lambda f: [f.job(**query("SELECT valeu FROM readings"))],
        "documents[0].queries[0].query",
        "no such column: valeu",
    ),
    "collects into nothing": (
        lambda _: collecting("answred"),
        "documents[0].nodes[4].collection",
        "there is no collection 'answred'",
    ),
    "collects a column that is not there": (
        lambda _: collecting("answered", "value", "labels"),
        "documents[0].nodes[4].columns",
        "collection answered has no column 'labels'",
    ),
    "unknown column of a new collection": (
        lambda f: [f.job(**query("SELECT height FROM waves")), {**READINGS, "name": "waves", "topics": []}],
        "documents[0].queries[0].query",
        "no such column: height",
    ),
    "new rows of what is not read": (
        lambda f: [f.job(**query("SELECT value FROM readings", new_data_only=True, collection="waves"))],
        "documents[0].queries[0].query",
        "about collection waves",
    ),
    "unknown source": (
        lambda f: [f.job(**query("SELECT number FROM orders", source="erp"))],
        "documents[0].queries[0].query",
        "there is no source erp in the controller's configuration",
    ),
    "holdout over an unknown column": (
        lambda f: [f.job(holdout={"query": "SELECT valeu FROM readings"})],
        "documents[0].holdout.query",
        "no such column: valeu",
    ),
    "column of another type": (
        lambda _: [{**READINGS, "columns": {"value": "text", "label": "text"}}],
        "documents[0].columns",
        "column value is real and cannot become text",
    ),
    "column added by us": (
        lambda _: [{**READINGS, "columns": {"created": "text"}}],
        "documents[0].columns",
        "added to every collection",
    ),
    "name of another case": (lambda _: [{**READINGS, "name": "Readings"}], "documents[0].name", "upper from lower"),
    "overlapping topics": (lambda _: [{**READINGS, "topics": ["a/#", "a/b"]}], "documents[0].topics", "overlap"),
    "topic of our own": (lambda _: [{**READINGS, "topics": ["tidemill/#"]}], "documents[0].topics[0]", "own"),
    "topic over two lines": (
        lambda _: [{**READINGS, "topics": ["a\nuser device"]}],
        "documents[0].topics[0]",
        "control character",
    ),
    "unknown edge": (lambda f: [f.job(edge="press-9")], "documents[0].edge", "tidemill edge add press-9"),
    "bad cron": (lambda f: [f.job(schedule={"cron": "0 0 * * 9"})], "documents[0].schedule", "'9' is no weekday"),
    "date of no year": (lambda f: [f.job(schedule={"cron": "0 0 30 2 *"})], "documents[0].schedule", "on no day"),
    "never due": (
        lambda f: [f.job(schedule={"at": "2026-01-01T00:00Z", "start": "2026-02-01T00:00Z"})],
        "documents[0].schedule",
        "never due between",
    ),
    "trigger on nothing": (
        lambda f: [f.job(triggers=[{"new_rows": 5, "collection": "nowhere"}])],
        "documents[0].triggers[0].collection",
        "no collection 'nowhere'",
    ),
    "trigger that writes": (
        lambda f: [f.job(triggers=[{"query": "DELETE FROM readings", "above": 1}])],
        "documents[0].triggers[0].query",
        "one SELECT",
    ),
    "trigger on an unknown column": (
        lambda f: [f.job(triggers=[{"query": "SELECT avg(error) FROM readings", "above": 1}])],
        "documents[0].triggers[0].query",
        "error",
    ),
    "too often": (lambda f: [f.job(schedule={"every": "1ms"})], "documents[0].schedule", "too often"),
    "for ever": (lambda f: [f.job(schedule={"every": 1e300})], "documents[0].schedule.every", "less than"),
    "metric of the contract": (
        lambda f: [f.job(metrics=["progress"])],
        "documents[0].metrics[0].name",
        "progress_path",
    ),
    "metric of a query": (
        lambda f: [f.job(metrics=["collection_data_2"])],
        "documents[0].metrics[0].name",
        "collection_data_2_path",
    ),
    "gate without metric": (lambda f: [f.job(gate={"metric": "f1"})], "documents[0]", "'f1' is none of"),
    "file not uploaded": (lambda f: [f.job(scripts=["train.py"])], "documents[0].scripts[0]", "not uploaded"),
    "blob not held": (
        lambda f: [f.job(scripts=[{"path": "train.py", "blob": BLOB}])],
        "documents[0].scripts[0]",
        "upload it first",
    ),
    "file name that leads away": (lambda f: [f.job(scripts=["a/.."])], "documents[0].scripts[0].path", "'..'"),
    "parameters that are no JSON": (lambda f: [f.job(params={"a": float("nan")})], "documents[0].params", "JSON"),
    "unknown base model": (lambda f: [f.job(base_model="great:1")], "documents[0].base_model", "no model 'great:1'"),
    "library without exec": (
        lambda f: [f.library("def execute(input): ...")],
        "documents[0].file",
        "tell.py has no function `exec(input)`",
    ),
    "library that is no Python": (
        lambda f: [f.library("def exec(input):\n    return (\n")],
        "documents[0].file",
        "tell.py, line 2: no Python",
    ),
    "library whose requirements were not uploaded": (
        lambda f: [f.library("def exec(input): ...", requirements="needs.txt")],
        "documents[0].requirements",
        "needs.txt was named but not uploaded",
    ),
    "library nested too deep": (
        lambda f: [f.library("exec = " + "-" * 100_000 + "1")],
        "documents[0].file",
        "tell.py: no Python",
    ),
    "cycle": (lambda _: [node(1, inputs=["tell"])], "documents[0].nodes[1].inputs", "ask -> tell -> ask"),
    "unknown node type": (lambda _: [node(0, type="mqtt_sbu")], "documents[0].nodes[0].type", "mqtt_sbu"),
    "unknown parameter": (
        lambda _: [node(0, topik="a")],
        "documents[0].nodes[0].topik",
        "no such key; did you mean topic?",
    ),
    "input that is no node": (lambda _: [node(1, inputs=["inn"])], "documents[0].nodes[1].inputs", "'inn'"),
    "unknown model": (
        lambda _: [node(1, model="great")],
        "documents[0].nodes[1].model",
        "node 'ask': there is no model 'great'",
    ),
    "unknown model of a shadow": (
        lambda _: [{**PIPELINE, "nodes": [*PIPELINE["nodes"], SHADOW]}],
        "documents[0].nodes[4].model",
        "node 'compare': there is no model 'great'",
    ),
    "unknown join": (lambda _: [node(1, join="most")], "documents[0].nodes[1].join", "node 'ask': Input should be"),
    "unknown policy": (
        lambda _: [node(1, on_error={"then": "cry"})],
        "documents[0].nodes[1].on_error.then",
        "node 'ask': Input should be",
    ),
    "queue that holds nothing": (
        lambda _: [{**PIPELINE, "queue": {"in_flight": 0}}],
        "documents[0].queue.in_flight",
        "greater than or equal to 1",
    ),
    "layout of a name that no node can have": (
        lambda _: [{**PIPELINE, "layout": {"in-1": {"x": 1, "y": 1}}}],
        "documents[0].layout.in-1",
        "does not fit",
    ),
    "absurd version": (lambda _: [node(1, model=f"tiny:{10**30}")], "documents[0].nodes[1].model", "names no model"),
    "unknown library": (lambda _: [node(2, library="pipelib_x")], "documents[0].nodes[2].library", "'pipelib_x'"),
    "deployed nowhere": (lambda _: [{**DEPLOYMENT, "edges": []}], "documents[0]", "names its `edges`"),
    "deployed to nobody": (lambda _: [{**DEPLOYMENT, "edges": ["p-2"]}], "documents[0].edges[0]", "no edge 'p-2'"),
    "deployed nothing": (lambda _: [{**DEPLOYMENT, "pipeline": "x"}], "documents[0].pipeline", "no pipeline 'x'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_has_its_place_and_changes_nothing(fleet: Fleet, mistake: str) -> None:
    """One wrong document refuses all of them, says which part of it is wrong, and leaves everything as it was.

    (defects 31, 39)
    """
    make, where, message = MISTAKES[mistake]
    documents = make(fleet)
    before = fleet.state()
    good = {"kind": "Model", "name": "innocent"}
    told = problem(fleet.apply(*documents, good))
    assert (told.status, told.code) == (422, "bad_input")
    found = [(error.where, error.message) for error in told.errors]
    assert any(place == where and message in said for place, said in found), found
    assert fleet.state() == before


def test_all_mistakes_are_told_at_once(fleet: Fleet) -> None:
    """Mistakes in several documents come in their order, each with the document's name."""
    told = problem(
        fleet.apply(fleet.job(edge="a"), {**DEPLOYMENT, "edges": ["b"], "pipeline": "c"}, node(2, library="pipelib_d"))
    )
    places = [error.where for error in told.errors]
    assert places == [
        "documents[0].edge",
        "documents[1].edges[0]",
        "documents[1].pipeline",
        "documents[2].nodes[2].library",
    ]
    assert [error.message.split(":")[0] for error in told.errors] == ["retrain", "here", "here", "answers"]


@pytest.mark.parametrize("content", [b"", b"no model at all", b"\x08\x08\x12\x00" * 10], ids=["empty", "text", "cut"])
def test_a_file_that_is_no_model_is_refused(fleet: Fleet, content: bytes) -> None:
    """An uploaded file that cannot be served becomes no version, and its document changes nothing else."""
    before = fleet.state()
    model = {"kind": "Model", "name": "tiny", "description": "new", "file": fleet.file("m.onnx", content)}
    told = problem(fleet.apply(model))
    assert (told.status, told.code) == (422, "bad_input")
    assert told.errors[0].where == "documents[0].file"
    assert "model.onnx" in told.errors[0].message
    assert fleet.state() == before


def test_applying_again_changes_nothing(fleet: Fleet) -> None:
    """The same documents, in whatever order, are unchanged, and so is all that the API tells."""
    documents = fleet.documents()
    fleet.actions(*documents)
    before = fleet.state()
    assert fleet.actions(*documents) == ["unchanged"] * 6
    assert fleet.actions(*reversed(documents)) == ["unchanged"] * 6
    assert fleet.state() == before


def test_a_dry_run_changes_nothing(fleet: Fleet) -> None:
    """It tells of every document what would become of it, and leaves everything as it was."""
    changed: list[Document] = [
        {**READINGS, "columns": {**READINGS["columns"], "more": "json"}},
        {**READINGS, "name": "others", "topics": []},
        {**fleet.model(factor=7.0), "description": "better"},
        {"kind": "Model", "name": "another"},
        fleet.job(model="made_on_the_way", **query("SELECT more FROM readings")),
        fleet.library("async def exec(input): ..."),
        {**PIPELINE, "dead_letter_topic": "graves"},
        {**DEPLOYMENT, "labels": {"hall": "3"}},
    ]
    before = fleet.state()
    assert fleet.actions(*changed, dry_run=True) == [
        "updated",
        "created",
        "updated",
        "created",
        "updated",
        "updated",
        "updated",
        "updated",
    ]
    assert fleet.state() == before


def test_editing_a_job_leaves_its_schedule(fleet: Fleet) -> None:
    """A change of parameters neither fires the job nor moves its next time; a change of the schedule moves it."""
    name = "steady"
    fleet.actions(fleet.job(name=name, schedule={"every": "1h"}))
    before = fleet.http.get(f"jobs/{name}").json()
    assert fleet.actions(fleet.job(name=name, schedule={"every": "1h"}, params={"epochs": 3})) == ["updated"]
    after = fleet.http.get(f"jobs/{name}").json()
    assert after["spec"]["params"] == {"epochs": 3}
    assert after["next_fire_at"] == before["next_fire_at"]
    fleet.actions(fleet.job(name=name, schedule={"every": "2h"}))
    moved = fleet.http.get(f"jobs/{name}").json()
    assert moved["next_fire_at"] > before["next_fire_at"]
    assert fleet.http.get("runs", params={"job": name}).json()["items"] == []


def test_a_paused_job_is_due_again_when_it_is_resumed(fleet: Fleet) -> None:
    """While it is paused it has no next time, and says so; resumed, it goes on in its old rhythm without firing."""
    name = "resting"
    fleet.actions(fleet.job(name=name, schedule={"cron": "0 4 * * *"}))
    due = fleet.http.get(f"jobs/{name}").json()["next_fire_at"]
    paused = fleet.http.post(f"jobs/{name}/pause").json()
    assert (paused["next_fire_at"], paused["why"]) == (None, "it is paused: `tidemill job resume resting`")
    assert fleet.http.post(f"jobs/{name}/pause").json() == paused
    assert fleet.http.post(f"jobs/{name}/resume").json()["next_fire_at"] == due
    assert fleet.http.get("runs", params={"job": name}).json()["items"] == []


def test_a_schedule_in_the_past_is_over(fleet: Fleet) -> None:
    """A job whose only time has passed does not fire, and says why."""
    fleet.actions(fleet.job(name="late", schedule={"at": "2020-01-01T00:00:00Z"}))
    view = fleet.http.get("jobs/late").json()
    over = "its schedule is over: it was due at 2020-01-01 00:00:00+00:00"
    assert (view["next_fire_at"], view["why"], view["last_run"]) == (None, over, None)
    trigger = {"new_rows": 500, "collection": "readings"}
    fleet.actions(fleet.job(name="both", schedule={"at": "2099-01-01T00:00:00Z"}, triggers=[trigger]))
    why = fleet.http.get("jobs/both").json()["why"]
    assert why.startswith("it is due at 2099-01-01 00:00:00 UTC, or with 500 new rows in readings (so far: ")
