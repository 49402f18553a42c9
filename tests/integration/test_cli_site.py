"""The command with a live controller and a live edge."""

import base64
import csv
import hashlib
import json
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from tests.conftest import free_port
from tests.integration.site import Site, agent, controller

COLLECTION = "kind: Collection\nname: readings\ncolumns: {value: real, label: text}\nrequired: [value]\n"


def tiny_model() -> bytes:
    """An ONNX model that gives what it gets."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "tiny", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


SUCCEED = f"""\
import base64, os
print("learning \\x1b[31m", flush=True)
open(os.environ["model_file_path"], "wb").write(base64.b64decode({base64.b64encode(tiny_model())!r}))
open(os.environ["accuracy_path"], "w").write("0.5")
print("learnt", flush=True)
"""
WAIT = """\
import json, os, select
print("waiting", flush=True)
while not os.path.exists(json.loads(os.environ["TIDEMILL_PARAMS"])["until"]):
    select.select([], [], [], 0.1)
"""
SCRIPTS = {
    "succeed": SUCCEED,
    "fail": "print('no luck', flush=True)\nraise SystemExit(3)\n",
    "hang": "import signal\nprint('waiting', flush=True)\nsignal.pause()\n",
}


JOB = """\
kind: Job
name: NAME
model: NAME-model
edge: press-1
queries: [{query: SELECT value FROM readings}]
scripts: [NAME.py]
metrics: [accuracy]
"""


def job(name: str) -> str:
    """A job of its own model whose script is one of SCRIPTS."""
    return JOB.replace("NAME", name)


@pytest.fixture(scope="module")
def empty_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A controller that nobody has told anything."""
    with controller(tmp_path_factory.mktemp("empty")) as site:
        yield site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A controller with one edge, a collection with a row, and a job for each script."""
    home = tmp_path_factory.mktemp("site")
    for name, text in SCRIPTS.items():
        (home / f"{name}.py").write_text(text)
    (home / "row.json").write_text('[{"value": 1}]')
    with controller(home) as site:
        assert site.run("edge", "add", "press-1", "--label", "line=7").returncode == 0
        applied = site.apply("---\n".join([COLLECTION, *map(job, SCRIPTS)]))
        assert applied.returncode == 0, applied.stderr
        assert site.run("collection", "import", "readings", "row.json").returncode == 0
        with agent(site, "press-1"):
            yield site


@pytest.mark.parametrize("noun", ["edge", "collection", "job", "run", "model", "pipeline", "deployment"])
def test_nothing_is_an_empty_list(empty_site: Site, noun: str) -> None:
    """A list of nothing is valid JSON for programs, and a hint on stderr for people."""
    assert empty_site.ask(noun, "list") == []
    said = empty_site.run(noun, "list")
    assert (said.returncode, said.stdout) == (0, "")
    assert "tidemill " in said.stderr


@pytest.mark.parametrize("noun", ["edge", "collection", "job", "model", "pipeline"])
def test_what_does_not_exist_is_not_found(empty_site: Site, noun: str) -> None:
    """Exit status 3 says that there is nothing of that name, which the message repeats."""
    done = empty_site.run(noun, "show", "nobody")
    assert done.returncode == 3
    assert "nobody" in done.stderr


def test_a_wrong_token_is_refused(empty_site: Site) -> None:
    """Without a token that the controller knows, nothing is told."""
    done = empty_site.run("edge", "list", "--json", TIDEMILL_TOKEN="tm_wrong")
    assert (done.returncode, done.stdout) == (1, "")
    assert json.loads(done.stderr)["code"] == "unauthorized"


def test_the_token_may_be_in_a_file(empty_site: Site) -> None:
    """A token in ~/.config/tidemill/token is used when none is given."""
    file = empty_site.home / ".config/tidemill/token"
    file.parent.mkdir(parents=True)
    file.write_text(f"{empty_site.token}\n")
    assert empty_site.run("edge", "list", TIDEMILL_TOKEN="").returncode == 0


def test_an_enrolled_edge_gets_a_secret_file(empty_site: Site) -> None:
    """The agent's configuration is readable by its owner alone, and an edge is enrolled once."""
    assert empty_site.run("edge", "add", "oven-2").returncode == 0
    file = empty_site.home / "oven-2.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    written = file.read_text()
    again = empty_site.run("edge", "add", "oven-2", "--force")
    assert again.returncode == 4
    assert file.read_text() == written


def test_applying_is_idempotent(empty_site: Site) -> None:
    """A dry run changes nothing, applying does, and applying again changes nothing more."""
    (empty_site.home / "fleet.yaml").write_text(COLLECTION.replace("readings", "levels"))
    actions = [
        [change["action"] for change in empty_site.ask("apply", "-f", "fleet.yaml", *more)["changes"]]
        for more in (["--dry-run"], [], [])
    ]
    assert actions == [["created"], ["created"], ["unchanged"]]


def test_what_only_the_controller_knows_has_its_line(empty_site: Site) -> None:
    """A mistake that the controller finds is told with the fleet file's line."""
    (empty_site.home / "succeed.py").touch()
    done = empty_site.apply(f"kind: Model\nname: a\n---\n{job('succeed').replace('press-1', 'press-9')}")
    assert done.returncode == 2
    assert "fleet.yaml:7: edge of succeed: there is no edge 'press-9'" in done.stderr


def test_following_a_run_prints_its_log(site: Site) -> None:
    """The log is data on stdout, states are messages on stderr, and success is exit status 0."""
    done = site.run("job", "run", "succeed", "--follow", "--timeout", "60s")
    assert done.returncode == 0, done.stderr
    notice, *lines = done.stdout.splitlines()
    assert notice.startswith("tidemill: limits.network is none")  # which a process cannot be held to
    assert lines == ["learning ", "learnt"]
    assert "succeed-model:1 came of it, accuracy=0.5" in done.stderr


def test_a_program_gets_the_run(site: Site) -> None:
    """With --json the run is the only data, and the log goes to stderr."""
    run = site.ask("job", "run", "succeed", "--follow")
    assert (run["state"], run["metrics"]) == ("succeeded", {"accuracy": 0.5})
    assert site.ask("run", "list", "--job", "succeed", "--limit", "1")[0]["id"] == run["id"]
    lines = [json.loads(line) for line in site.run("run", "logs", run["id"], "--json").stdout.splitlines()]
    assert [(line["line"], line["text"][:5]) for line in lines] == [(0, "tidem"), (1, "learn"), (2, "learn")]


def test_a_failed_run_is_exit_status_1(site: Site) -> None:
    """The run's own reason is the command's last line."""
    done = site.run("job", "run", "fail", "--follow")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "no luck"
    assert done.stderr.splitlines()[-1].startswith("tidemill: run ")
    assert "fail.py ended with exit code 3" in done.stderr.splitlines()[-1]


def test_patience_ends_but_the_run_goes_on(site: Site) -> None:
    """When --timeout has passed, the exit status is 5; the run is live until it is cancelled."""
    done = site.run("job", "run", "hang", "--timeout", "1s")
    assert done.returncode == 5
    assert "it goes on" in done.stderr
    run_id = site.ask("run", "list", "--job", "hang")[0]["id"]
    assert site.run("run", "cancel", run_id).returncode == 0
    assert site.run("run", "logs", run_id, "--follow", "--timeout", "60s").returncode == 0
    assert site.ask("run", "show", run_id)["state"] == "cancelled"


def test_a_version_is_pulled_and_promoted(site: Site) -> None:
    """Files come with the digest that the registry knows, and an alias is moved by name."""
    assert site.run("job", "run", "succeed", "--wait").returncode == 0
    assert site.run("model", "promote", "succeed-model:1", "--alias", "tried").returncode == 0
    pulled = site.ask("model", "pull", "succeed-model@tried", "--output", "pulled")
    file = site.home / "pulled/model.onnx"
    assert (
        f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}" == pulled["version"]["files"]["model.onnx"]["digest"]
    )
    assert site.run("model", "pull", "succeed-model", "--output", "pulled").returncode == 4
    assert site.run("model", "pull", "succeed-model:99").returncode == 3


def test_rows_are_imported_and_the_rest_is_told(site: Site) -> None:
    """Rows that fit are added, the others counted with their place, and that is exit status 1."""
    before = site.ask("collection", "show", "readings")["rows"]
    with (site.home / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["value", "label"], [1.5, "a"], ["high", "b"], [2.5, "c"]])
    done = site.run("collection", "import", "readings", "rows.csv", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["accepted"] == 2
    assert site.ask("collection", "show", "readings")["rows"] == before + 2
    assert site.ask("collection", "rows", "readings", "--after", str(before))[0]["label"] == "a"
    assert len(site.ask("collection", "rejects", "readings")) == 1


def test_doctor_finds_a_sound_site_sound(site: Site) -> None:
    """With everything in its place, nothing is wrong and the exit status is 0."""
    for more in ([], ["--config", "press-1.toml"], ["--broker", site.run("broker").stdout.strip()]):
        done = site.run("doctor", *more)
        assert done.returncode == 0, done.stdout
        assert "1 of 1 edges online" in done.stdout
        assert f"{site.ask('broker')['url'].removeprefix('mqtt://')} answers" in done.stdout


def test_following_outlives_the_controller(tmp_path: Path) -> None:
    """A controller that ends and starts again is waited for; no line of the log is lost or told twice."""
    port, until = free_port(), tmp_path / "go-on"
    (tmp_path / "patient.py").write_text(WAIT + SUCCEED)
    (tmp_path / "row.json").write_text('[{"value": 1}]')
    with ExitStack() as stack:
        with controller(tmp_path, port=port) as site:
            assert site.run("edge", "add", "press-1").returncode == 0
            applied = site.apply(f"{COLLECTION}---\n{job('patient')}params: {{until: {until}}}\n")
            assert applied.returncode == 0, applied.stderr
            assert site.run("collection", "import", "readings", "row.json").returncode == 0
            stack.enter_context(agent(site, "press-1"))
            following = stack.enter_context(site.start("job", "run", "patient", "--follow", "--timeout", "100s"))
            assert following.stdout is not None
            assert following.stderr is not None
            assert following.stdout.readline().startswith("tidemill: limits.network")
            assert following.stdout.readline() == "waiting\n"
        assert any("waiting for the controller" in line for line in following.stderr)
        with controller(tmp_path, port=port, token=site.token):
            until.touch()
            rest, said = following.communicate(timeout=100)
            assert following.returncode == 0, said
            assert rest == "learning \nlearnt\n"
