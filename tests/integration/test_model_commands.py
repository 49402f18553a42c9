"""Models from the command line and over HTTP, with a live controller, and a live edge that trains and holds them."""

import base64
import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.world import until
from tests.integration.api import problem
from tests.integration.site import Site, agent, controller
from tests.onnx_graphs import times
from tidemill.client import Client

SCRIPT = """\
import base64, json, os, pathlib
rows = json.loads(pathlib.Path(os.environ["collection_data_1_path"]).read_text())
with open(os.environ["progress_path"], "a") as file:
    for step in range(30):
        print(json.dumps({"step": step, "loss": 1 / (step + 1)}), file=file, flush=True)
pathlib.Path(os.environ["model_file_path"]).write_bytes(base64.b64decode(MODEL))
pathlib.Path(os.environ["rows_path"]).write_text(str(len(rows)))
# the first draft
"""
FLEET = """\
kind: Collection
name: readings
columns: {value: real}
---
kind: Model
name: base
description: what jobs begin with
file: base.onnx
---
kind: Job
name: retrain
model: iris
base_model: base
edge: press-1
scripts: [train.py]
metrics: [rows]
params: {depth: 3}
queries: [{query: SELECT value FROM readings}]
keep: {runs: 1}
---
kind: Deployment
name: hold
model: iris
edges: [press-1]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A controller and a live edge; iris has two versions, of which the edge holds the second."""
    home = tmp_path_factory.mktemp("models")
    times(home / "base.onnx", 1.0)
    with controller(home) as site:
        assert site.run("edge", "add", "press-1").returncode == 0
        with agent(site, "press-1"):
            train(site, 2.0, SCRIPT, FLEET, rows=3)
            train(site, 3.0, SCRIPT.replace("first", "second"), FLEET.replace("depth: 3", "depth: 4"), rows=2)
            yield site


def train(site: Site, factor: float, script: str, fleet: str, *, rows: int) -> None:
    """A run of the job on so many rows more."""
    model = times(site.home / "made.onnx", factor).read_bytes()
    (site.home / "train.py").write_text(script.replace("MODEL", repr(base64.b64encode(model))))
    assert site.apply(fleet).returncode == 0
    (site.home / "rows.json").write_text(json.dumps([{"value": number} for number in range(rows)]))
    assert site.run("collection", "import", "readings", "rows.json").returncode == 0
    done = site.run("job", "run", "retrain", "--wait", "--timeout", "100s")
    assert done.returncode == 0, done.stderr


@pytest.fixture
def http(site: Site) -> Iterator[httpx.Client]:
    """Requests to the controller."""
    headers = {"Authorization": f"Bearer {site.token}"}
    with httpx.Client(base_url=f"{site.url}/api/v1/", headers=headers, timeout=60) as client:
        yield client


@pytest.fixture
def name(site: Site, request: pytest.FixtureRequest) -> str:
    """A model of its own for the test, with three uploaded versions."""
    name = str(request.node.name).removeprefix("test_")[:40]
    for factor in (1.0, 2.0, 3.0):
        times(site.home / "own.onnx", factor)
        assert site.apply(f"kind: Model\nname: {name}\nfile: own.onnx\n").returncode == 0
    return name


async def test_a_model_is_shown_with_its_history(site: Site) -> None:
    """Newest first, the oldest labelled, with aliases, metrics as columns, and where edges report each version."""

    def held() -> Any:
        told = site.ask("model", "show", "iris")
        return told if told["versions"][0]["deployed"] else None

    told = await until(held, "the edge to hold the champion")
    newest, oldest = told["versions"]
    assert (newest["version"], newest["base"], newest["aliases"]) == (2, False, ["champion"])
    assert newest["deployed"] == [{"edge": "press-1", "pipeline": ""}]
    assert (oldest["version"], oldest["base"], oldest["deployed"]) == (1, True, [])
    lines = site.run("model", "show", "iris").stdout.splitlines()
    head = next(line for line in lines if line.startswith("VERSION"))
    assert head.split() == ["VERSION", "ALIASES", "CREATED", "ROWS", "rows", "GATE", "DEPLOYED", "NOTE", "RUN"]
    rows = lines[lines.index(head) + 1 :]
    assert "press-1" in rows[0]
    assert "champion" in rows[0]
    assert rows[1].startswith("1 Base model")
    refused = site.run("model", "delete", "iris:2", "--yes")
    assert refused.returncode == 4
    assert "alias champion stands for it" in refused.stderr
    assert "edge press-1 holds version 2" in refused.stderr


def test_a_version_is_shown_with_its_lineage(site: Site) -> None:
    """The tree names run, job, edge, rows, scripts, parameters, and the base model's version with its own origin."""
    shown = site.run("model", "show", "iris:2").stdout
    for said in ("job retrain", "edge press-1", "data 1: 5 rows", "SELECT value FROM readings", "readings: positions",
                 "scripts", "train.py sha256:", "parameters depth=4", "base model base:1 of", "uploaded"):  # fmt: skip
        assert said in shown
    told = site.ask("model", "show", "iris@champion")
    assert told["version"]["lineage"]["params"] == {"depth": 4}
    lineage = told["lineage"]
    assert (lineage["model"], lineage["version"], lineage["lineage"]["job"]) == ("iris", 2, "retrain")
    assert (lineage["base"]["model"], lineage["base"]["version"], lineage["base"]["base"]) == ("base", 1, None)
    assert site.run("model", "show", "iris:9").returncode == 3


def test_two_versions_are_compared(site: Site, http: httpx.Client) -> None:
    """Metrics with their difference, rows and positions, scripts line by line, parameters; the same says so."""
    lines = site.run("model", "diff", "iris", "1", "2").stdout.splitlines()
    for said in ("  rows: 3 → 5 (+2)", "  query 1, rows: 3 → 5", "  -# the first draft", "  +# the second draft",
                 "  depth: 3 → 4", "  query 1, positions of readings: 1 to 3 → 1 to 5"):  # fmt: skip
        assert said in lines
    told = site.ask("model", "diff", "iris", "2", "1")
    assert told["metrics"] == [{"name": "rows", "old": 5.0, "new": 3.0, "change": -2.0}]
    assert (told["signature"], told["requirements"]) == ([], None)
    same = site.run("model", "diff", "iris", "2", "2")
    assert (same.returncode, same.stdout) == (0, "")
    assert "are the same" in same.stderr
    assert problem(http.get("models/iris/diff", params={"old": 1, "new": 9})).status == 404


def test_metrics_are_a_series(site: Site) -> None:
    """Each metric over the versions, oldest first, as a table with small bars; an unknown one is told."""
    told = site.ask("model", "metrics", "iris")
    assert [(point["version"], point["value"]) for point in told["metrics"]["rows"]] == [(1, 3.0), (2, 5.0)]
    table = site.run("model", "metrics", "iris", "--metric", "rows").stdout
    assert "▁█" in table
    assert "has the metric loss" in site.run("model", "metrics", "iris", "--metric", "loss").stderr


async def test_curves_stay_with_their_version(site: Site) -> None:
    """When its run is forgotten and only the version stays, what its scripts told of their progress is still there."""
    run = site.ask("model", "show", "iris:1")["version"]["lineage"]["run_id"]
    await until(lambda: True if site.run("run", "show", run).returncode == 3 else None, "the run to be forgotten")
    points = site.ask("model", "curves", "iris:1")
    assert [point["step"] for point in points] == list(range(30))
    assert points[1]["loss"] == 0.5
    (line,) = [line for line in site.run("model", "curves", "iris:1").stdout.splitlines() if line.startswith("loss")]
    assert "█" in line
    assert "told nothing" in site.run("model", "curves", "base:1").stderr


def test_aliases_from_the_command_line(site: Site, name: str) -> None:
    """Moved, told, taken back, removed; the history says from where to where, by what, and why."""
    assert "champion of" in site.run("model", "promote", f"{name}:2", "--reason", "is better").stderr
    assert "stands for version 2 already" in site.run("model", "promote", f"{name}:2").stderr
    assert "in place of 2" in site.run("model", "promote", f"{name}:3").stderr
    assert site.run("model", "promote", name, "--alias", "my.own").returncode == 0
    back = site.run("model", "rollback", name, "--reason", "is worse")
    assert f"champion of {name} stands for version 2 in place of 3" in back.stderr
    assert site.ask("model", "rollback", name)["version"] == 1
    last = site.run("model", "rollback", name)
    assert last.returncode == 4
    assert "stood for nothing before version 1" in last.stderr
    assert "it stood for version 3" in site.run("model", "unalias", name, "--alias", "my.own").stderr
    assert site.run("model", "unalias", name, "--alias", "my.own").returncode == 3
    lines = site.run("model", "history", name, "--alias", "champion").stdout.splitlines()
    assert [line.split()[3:5] for line in lines[1:]] == [
        ["2", "1"],
        ["3", "2"],
        ["2", "3"],
        ["1", "2"],
        ["1", "tidemill"],
    ]
    assert "tidemill model promote is better" in " ".join(lines[4].split())
    moves = site.ask("model", "history", name)
    assert [(move["alias"], move["version"]) for move in moves[:1]] == [("my.own", None)]
    assert len(moves) == 7


def test_of_two_clients_at_once_one_wins(name: str, http: httpx.Client) -> None:
    """Two people promote at the same moment what both have seen: one does, the other is told by whom it was moved."""
    told: dict[str, httpx.Response] = {}

    def person(version: int, tag: str, together: threading.Barrier) -> None:
        document = {"version": version, "reason": "mine", "by": f"person {version}"}
        with httpx.Client(base_url=http.base_url, headers=http.headers, timeout=60) as own:
            together.wait(60)
            answer = own.put(f"models/{name}/aliases/champion", json=document, headers={"If-Match": tag})
            told[f"person {version}"] = answer

    for _ in range(10):
        tag = http.get(f"models/{name}/aliases/champion").headers["ETag"]
        together = threading.Barrier(2)
        people = [threading.Thread(target=person, args=(version, tag, together)) for version in (2, 3)]
        for one in people:
            one.start()
        for one in people:
            one.join(120)
        now = http.get(f"models/{name}/aliases/champion").json()
        assert sorted(answer.status_code for answer in told.values()) == [200, 412]
        assert told[now["by"]].status_code == 200
        (lost,) = [problem(answer) for answer in told.values() if answer.status_code == 412]
        assert lost.code == "stale"
        assert f"it stands for version {now['version']} " in lost.detail
        assert f"moved by {now['by']}" in lost.detail
        assert http.put(f"models/{name}/aliases/champion", json={"version": 1}).status_code == 200


def test_tags_of_aliases(site: Site, name: str, http: httpx.Client) -> None:
    """`If-None-Match: *` only makes, `If-Match` only moves or removes what was seen; without them the last one wins."""
    path = f"models/{name}/aliases/tried"
    new = {"If-None-Match": "*"}
    assert problem(http.put(path, json={"version": 1}, headers={"If-Match": "*"})).status == 412
    made = http.put(path, json={"version": 1}, headers=new)
    assert made.headers["ETag"] == http.get(path).headers["ETag"]
    assert "stands for version 1" in problem(http.put(path, json={"version": 2}, headers=new)).detail
    assert http.put(path, json={"version": 2}).status_code == 200
    seen = {"If-Match": made.headers["ETag"]}
    for late in (
        http.put(path, json={"version": 3}, headers=seen),
        http.delete(path, headers=seen),
        http.post(f"{path}/rollback", json={}, headers=seen),
    ):
        assert (late.status_code, problem(late).code) == (412, "stale")
    assert problem(http.put(path, json={"version": 3}, headers={"If-Match": '"great"'})).status == 422
    assert http.delete(path, headers={"If-Match": http.get(path).headers["ETag"]}).status_code == 200
    assert problem(http.get(path)).status == 404
    assert problem(http.put(path, json={"version": 3}, headers=seen)).detail.startswith(f"tried of {name} was moved")
    with Client(site.url, site.token) as client:
        assert client.alias(name, "tried") is None


def test_notes_tags_and_descriptions(site: Site, name: str, http: httpx.Client) -> None:
    """Notes and tags are of a version, a description of a model; whoever saw an older state is told."""
    before = {path: http.get(path).headers["ETag"] for path in (f"models/{name}", f"models/{name}/versions/2")}
    done = site.run("model", "annotate", f"{name}:2", "--note", "too slow", "--tag", "line=7", "--tag", "by=me")
    assert f"{name}:2: too slow; by=me line=7" in done.stderr
    told = site.ask("model", "annotate", f"{name}:2", "--tag", "by-", "--tag", "x=1=2")
    assert (told["note"], told["tags"]) == ("too slow", {"line": "7", "x": "1=2"})
    assert site.run("model", "annotate", name, "--description", "of flowers").returncode == 0
    shown = site.ask("model", "show", name)
    assert (shown["description"], shown["versions"][1]["note"], shown["versions"][0]["tags"]) == (
        "of flowers",
        "too slow",
        {},
    )
    late = http.patch(
        f"models/{name}/versions/2", json={"note": ""}, headers={"If-Match": before[f"models/{name}/versions/2"]}
    )
    assert problem(late).code == "stale"
    for path, tag in before.items():
        assert http.get(path).headers["ETag"] != tag
    written = {"description": "mine"}
    assert (
        problem(http.patch(f"models/{name}", json=written, headers={"If-Match": before[f"models/{name}"]})).status
        == 412
    )
    tag = http.get(f"models/{name}").headers["ETag"]
    assert http.patch(f"models/{name}", json=written, headers={"If-Match": tag}).json()["description"] == "mine"
    many = {f"t{number}": "x" for number in range(60)}
    assert "50 is the most" in problem(http.patch(f"models/{name}/versions/2", json={"tags": many})).detail
    for wrong in (
        [name, "--note", "x"],
        [f"{name}:1", "--description", "x"],
        [f"{name}:1"],
        [f"{name}:1", "--tag", "x"],
    ):
        assert site.run("model", "annotate", *wrong).returncode == 2


def test_deleting_from_the_command_line(site: Site, name: str, http: httpx.Client) -> None:
    """A version and a model go when nothing needs them; the base does not, and files are gone with their version."""
    refused = site.run("model", "delete", f"{name}:1", "--yes")
    assert refused.returncode == 4
    assert "it is the base of the history" in refused.stderr
    assert site.run("model", "delete", f"{name}@champion", "--yes").returncode == 2
    assert f"version 3 of {name} is deleted" in site.run("model", "delete", f"{name}:3", "--yes").stderr
    assert http.get(f"models/{name}/versions/3/files/model.onnx").status_code == 404
    assert site.ask("model", "delete", name, "--yes") == {"name": name, "versions": 2}
    assert site.run("model", "show", name).returncode == 3
    assert site.run("model", "delete", name, "--yes").returncode == 3
