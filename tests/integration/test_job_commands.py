"""Jobs and runs from the command line and over HTTP, with a live controller and a live edge."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.integration.site import Site, agent, controller
from tests.onnx_graphs import times

SCRIPT = """\
import base64, json, os, pathlib, shutil, sys
rows = json.loads(pathlib.Path(os.environ["collection_data_1_path"]).read_text())
print(f"{len(rows)} rows", flush=True)
with open(os.environ["progress_path"], "a") as file:
    for step in range(3):
        print(json.dumps({"step": step, "loss": 1 / (step + 1)}), file=file, flush=True)
if json.loads(os.environ["TIDEMILL_PARAMS"]).get("fail"):
    sys.exit("asked to fail")
pathlib.Path(os.environ["model_file_path"]).write_bytes(base64.b64decode(MODEL))
pathlib.Path(os.environ["additional_output_folder_path"], "weights.bin").write_bytes(b"w" * len(rows))
pathlib.Path(os.environ["rows_path"]).write_text(str(len(rows)))
"""
COLLECTION = "kind: Collection\nname: readings\ncolumns: {value: real}\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A controller with one live edge and a collection of three rows."""
    home = tmp_path_factory.mktemp("jobs")
    model = times(home / "tiny.onnx", 2.0).read_bytes()
    (home / "train.py").write_text(SCRIPT.replace("MODEL", repr(base64.b64encode(model))))
    (home / "rows.json").write_text(json.dumps([{"value": number} for number in range(3)]))
    with controller(home) as site:
        assert site.run("edge", "add", "press-1", "--label", "line=7").returncode == 0
        assert site.apply(COLLECTION).returncode == 0
        assert site.run("collection", "import", "readings", "rows.json").returncode == 0
        with agent(site, "press-1"):
            yield site


def make(site: Site, name: str, *more: str) -> dict[str, Any]:
    """Make a job that trains on all readings."""
    told: dict[str, Any] = site.ask(
        "job", "create", name, "--edge", "press-1", "--script", "train.py", "--metric", "rows",
        "--query", "SELECT value FROM readings", *more,
    )  # fmt: skip
    return told


def trained(site: Site, name: str, *more: str) -> dict[str, Any]:
    """Run a job to its end, which must be good."""
    done = site.run("job", "run", name, "--wait", "--timeout", "100s", "--json", *more)
    assert done.returncode == 0, done.stderr
    run: dict[str, Any] = json.loads(done.stdout)
    return run


def test_a_job_is_made_from_options(site: Site) -> None:
    """What is given as options is the job; the next five times are told; a second one of the name is refused."""
    options = ["--timezone", "Europe/Paris", "--param", "depth=3", "--param", "loss=mae"]
    told = make(site, "nightly", "--cron", "0 3 * * *", *options)
    assert (told["spec"]["params"], told["spec"]["model"]) == ({"depth": 3, "loss": "mae"}, "nightly")
    assert len(told["next_fires"]) == 5
    assert told["next_fires"][0] == told["next_fire_at"]
    again = site.run("job", "create", "nightly", "--edge", "press-1", "--script", "train.py")
    assert again.returncode == 4
    assert "there is a job 'nightly' already" in again.stderr


def test_a_job_is_made_from_a_file(site: Site) -> None:
    """A file holds one job, with or without its kind; a mistake in it names the key."""
    written = {"name": "filed", "model": "filed", "edge_labels": {"line": "7"}, "scripts": ["train.py"]}
    (site.home / "job.yaml").write_text(yaml.safe_dump({**written, "overlap": "queue"}))
    assert site.ask("job", "create", "-f", "job.yaml")["spec"]["overlap"]["policy"] == "queue"
    (site.home / "job.yaml").write_text(yaml.safe_dump({**written, "limits": {"cpu": 1}}))
    wrong = site.run("job", "create", "-f", "job.yaml")
    assert (wrong.returncode, "limits.cpu" in wrong.stderr) == (2, True)


def test_editing_keeps_the_next_time(site: Site) -> None:
    """A change that has nothing to do with the timer neither fires the job nor moves when it is due."""
    before = make(site, "edited", "--every", "1h")
    after = site.ask("job", "edit", "edited", "--set", "params.depth=4", "--set", "min_rows=2")
    assert after["next_fire_at"] == before["next_fire_at"]
    assert (after["spec"]["params"], after["spec"]["min_rows"]) == ({"depth": 4}, 2)
    assert site.ask("run", "list", "--job", "edited") == []
    moved = site.ask("job", "edit", "edited", "--set", "schedule.every=2h")
    assert moved["next_fire_at"] > before["next_fire_at"]
    wrong = site.run("job", "edit", "edited", "--set", "min_rows=none")
    assert (wrong.returncode, "min_rows" in wrong.stderr) == (2, True)
    assert site.ask("job", "show", "edited") == {**moved, "why": site.ask("job", "show", "edited")["why"]}


def test_an_edge_shows_what_it_has(site: Site) -> None:
    """What placement looks at, one can see: executors, processors, memory, GPUs and tasks at once."""
    means = site.ask("edge", "show", "press-1")["report"]["capabilities"]
    shown = site.run("edge", "show", "press-1").stdout
    assert f"process; {means['cpus']} cpus, " in shown
    assert "of memory, 0 gpus; max_tasks 1" in shown


def test_a_reason_of_many_lines_is_one_line_in_lists(site: Site) -> None:
    """What an installer says is told whole with its run, and in one line where there are others."""
    (site.home / "requirements.txt").write_text("./no-such-wheel-1.0-py3-none-any.whl\n")
    make(site, "unmakable", "--requirements", "requirements.txt")
    site.run("job", "run", "unmakable", "--wait", "--timeout", "100s")
    (run,) = site.ask("run", "list", "--job", "unmakable")
    assert "\n" in run["reason"]
    assert "cannot be installed" in run["reason"]
    assert len(site.run("run", "list", "--job", "unmakable").stdout.splitlines()) == 2
    why = site.ask("job", "show", "unmakable")["why"]
    assert "\n" not in why
    assert "the last run was failed: the requirements cannot be installed" in why


def test_a_job_is_edited_in_an_editor(site: Site) -> None:
    """What $EDITOR leaves in the file is the job from then on."""
    make(site, "by-hand")
    (site.home / "editor.sh").write_text("sed -i 's/^priority:.*//' $1; echo 'priority: 7' >> $1\n")
    done = site.run("job", "edit", "by-hand", "--json", EDITOR=f"sh {site.home / 'editor.sh'}")
    assert json.loads(done.stdout)["spec"]["priority"] == 7, done.stderr
    (site.home / "spoil.sh").write_text("echo 'min_rows: none' >> $1\n")
    spoilt = site.run("job", "edit", "by-hand", EDITOR=f"sh {site.home / 'spoil.sh'}")
    assert (spoilt.returncode, "min_rows" in spoilt.stderr) == (2, True)
    assert "min_rows: none" in (site.home / "by-hand.edited.yaml").read_text()
    failed = site.run("job", "edit", "by-hand", EDITOR="false")
    assert (failed.returncode, "nothing was changed" in failed.stderr) == (2, True)


def test_two_editors_do_not_overwrite_each_other(site: Site) -> None:
    """A change that was meant for an earlier state of the job is refused, and the job stays as it is."""
    make(site, "shared")
    with httpx.Client(base_url=f"{site.url}/api/v1/", headers={"Authorization": f"Bearer {site.token}"}) as http:
        answer = http.get("jobs/shared")
        tag, spec = {"If-Match": answer.headers["ETag"]}, answer.json()["spec"]
        assert http.put("jobs/shared", json={**spec, "priority": 1}, headers=tag).status_code == 200
        late = http.put("jobs/shared", json={**spec, "priority": 2}, headers=tag)
        assert (late.status_code, late.json()["code"]) == (412, "stale")
        assert http.get("jobs/shared").json()["spec"]["priority"] == 1
        assert http.put("jobs/shared", json={**spec, "priority": 3}, headers={"If-Match": "*"}).status_code == 200
        assert http.put("jobs/other", json={**spec, "name": "other"}, headers={"If-Match": "*"}).status_code == 412
        assert http.put("jobs/other", json=spec).status_code == 422


def test_a_renamed_job_goes_on(site: Site) -> None:
    """Runs, versions and the place in new rows are the same job's under the new name."""
    make(site, "old-name", "--new-rows-of", "readings")
    first = trained(site, "old-name")
    assert site.run("job", "rename", "old-name", "new-name").returncode == 0
    assert site.run("job", "show", "old-name").returncode == 3
    assert [run["id"] for run in site.ask("job", "history", "new-name")] == [first["id"]]
    again = site.run("job", "run", "new-name", "--wait", "--timeout", "100s")
    assert (again.returncode, "no new entries" in again.stderr) == (1, True)


def test_a_deleted_job_leaves_its_models(site: Site) -> None:
    """Versions and their files stay whole, also when the job is gone (defect 24)."""
    make(site, "passing")
    run = trained(site, "passing")
    assert site.run("job", "delete", "passing").returncode == 0
    assert site.run("job", "show", "passing").returncode == 3
    gone = site.run("run", "reproduce", run["id"])
    assert (gone.returncode, "the job passing of run" in gone.stderr) == (3, True)
    pulled = site.ask("model", "pull", f"passing:{run['version']}", "--output", "kept")
    assert (site.home / "kept/model.onnx").stat().st_size == pulled["version"]["files"]["model.onnx"]["size_bytes"]


def test_a_run_is_reproduced_on_the_same_bytes(site: Site) -> None:
    """Rows that came since are not in it: both runs were given the same files, and the copy is not promoted."""
    make(site, "again")
    first = trained(site, "again")
    assert site.run("collection", "import", "readings", "rows.json").returncode == 0
    second = site.ask("run", "reproduce", first["id"])
    assert second["cause"] == f"the data of run {first['id']} again"
    assert site.run("run", "logs", second["id"], "--follow", "--timeout", "100s").returncode == 0
    ended = site.ask("run", "show", second["id"])
    assert (ended["state"], ended["metrics"]["rows"]) == ("succeeded", first["metrics"]["rows"])
    for name, run in (("one", first), ("two", second)):
        site.ask("run", "download", run["id"], "--output", name, "--only", "input/*")
    assert contents(site.home / "one") == contents(site.home / "two")
    aliases = {alias["name"]: alias["version"] for alias in site.ask("model", "show", "again")["aliases"]}
    assert aliases["champion"] == first["version"]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_failed_run_is_retried(site: Site) -> None:
    """A new run of the same job as it was then; one that succeeded is not tried again, but reproduced."""
    make(site, "failing", "--param", "fail=1")
    assert site.run("job", "run", "failing", "--wait").returncode == 1
    (failed,) = site.ask("job", "history", "failing")
    again = site.ask("run", "retry", failed["id"])
    assert (again["trigger"], again["cause"]) == ("retry", f"run {failed['id']} once more")
    assert site.run("run", "logs", again["id"], "--follow", "--timeout", "100s").returncode == 0
    make(site, "fine")
    refused = site.run("run", "retry", trained(site, "fine")["id"])
    assert (refused.returncode, "reproduce" in refused.stderr) == (4, True)


def test_everything_of_a_run_is_downloaded(site: Site) -> None:
    """What it was given and what it made, under the names that the scripts know, and its progress as points."""
    make(site, "whole")
    run = trained(site, "whole")
    told = site.ask("run", "download", run["id"], "--output", "all")
    assert {"input/scripts/train.py", "input/collection_data_1.json", "output/model.onnx", "output/log.txt",
            "output/progress.jsonl", "output/additional_output/weights.bin"} <= set(told["files"])  # fmt: skip
    assert (site.home / "all/output/log.txt").read_text().splitlines()[-1].endswith("rows")
    points = site.ask("run", "progress", run["id"])
    assert [(point["step"], point["loss"]) for point in points] == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    assert site.run("run", "download", run["id"], "--only", "nothing*").returncode == 3


def stream(site: Site, run_id: str, last: str | None = None) -> list[tuple[str, str, Any]]:
    """The server-sent events of a run until it has ended: name, id and data."""
    headers = {"Authorization": f"Bearer {site.token}", **({"Last-Event-ID": last} if last else {})}
    found: list[tuple[str, str, Any]] = []
    event: dict[str, str] = {}
    with httpx.stream("GET", f"{site.url}/api/v1/runs/{run_id}/events", headers=headers, timeout=60) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line:
                key, _, value = line.partition(": ")
                event[key] = value
            elif "data" in event:
                found.append((event["event"], event["id"], json.loads(event["data"])))
                event = {}
    return found


def test_a_run_is_followed_by_server_sent_events(site: Site) -> None:
    """States, log lines and progress come while the run goes on; a stream that broke goes on where it was."""
    make(site, "watched")
    queued = site.ask("job", "run", "watched")
    events = stream(site, queued["id"])
    states = list(dict.fromkeys(data["state"] for name, _, data in events if name == "run"))
    assert states[-1] == "succeeded"
    assert len(states) > 1
    lines = [data["line"] for name, _, data in events if name == "log"]
    assert lines == list(range(len(lines)))
    assert any(data["text"].endswith(" rows") for name, _, data in events if name == "log")
    assert [data["values"]["step"] for name, _, data in events if name == "progress"] == [0, 1, 2]
    assert events[-1][0] == "end"
    (place,) = [where for name, where, data in events if name == "log" and data["line"] == 0]
    rest = stream(site, queued["id"], last=place)
    assert [data["line"] for name, _, data in rest if name == "log"] == lines[1:]
    anew = stream(site, queued["id"], last=f"{'9' * 5000}:1:2")  # no place of ours
    assert [data["line"] for name, _, data in anew if name == "log"] == lines


def test_the_log_is_downloaded_as_text(site: Site) -> None:
    """The whole of it, under a name of its own."""
    make(site, "logged")
    run = trained(site, "logged")
    headers = {"Authorization": f"Bearer {site.token}"}
    answer = httpx.get(f"{site.url}/api/v1/runs/{run['id']}/log.txt", headers=headers)
    assert answer.text.splitlines()[-1].endswith(" rows")
    assert f"logged-{run['id']}.log" in answer.headers["content-disposition"]


def test_a_script_is_tried_without_an_edge(site: Site) -> None:
    """The scripts of the fleet file run here on the controller's rows; what they make is left here, and no run is."""
    script = (site.home / "train.py").read_text()
    document = {"kind": "Job", "name": "tried", "model": "tried", "edge": "press-1", "scripts": ["draft.py"],
                "metrics": ["rows"], "queries": [{"query": "SELECT value FROM readings"}]}  # fmt: skip
    (site.home / "draft.yaml").write_text(yaml.safe_dump(document))
    (site.home / "draft.py").write_text("import sys\nprint('half done')\nsys.exit(4)\n")
    failed = site.run("job", "test", "tried", "-f", "draft.yaml", "--local")
    assert (failed.returncode, "half done" in failed.stderr) == (1, True)
    assert "draft.py ended with exit code 4" in failed.stderr
    (site.home / "draft.py").write_text(script)
    done = site.ask("job", "test", "tried", "-f", "draft.yaml", "--local")
    assert done["metrics"]["rows"] >= 3
    assert (site.home / "trial-tried/model.onnx").stat().st_size == done["model"]["size_bytes"]
    assert (site.home / "trial-tried/additional_output/weights.bin").exists()
    assert site.run("job", "show", "tried").returncode == 3


def test_a_script_s_environment_is_told_before(site: Site) -> None:
    """`job env` names every variable that the script then finds."""
    make(site, "told", "--param", "depth=2")
    told = site.ask("job", "env", "told")
    assert told["TIDEMILL_PARAMS"] == '{"depth": 2}'
    assert {"model_file_path", "collection_data_1_path", "rows_path", "additional_output_folder_path"} <= told.keys()
    assert told["additional_output_folder_path"].endswith("/")


def test_labels_of_an_edge_are_changed(site: Site) -> None:
    """Some are set and others removed; the rest stay."""
    assert site.ask("edge", "label", "press-1", "zone=hall-2", "hot=yes")["labels"] == {
        "line": "7",
        "zone": "hall-2",
        "hot": "yes",
    }
    assert site.ask("edge", "label", "press-1", "zone-", "hot=no")["labels"] == {"line": "7", "hot": "no"}
    assert site.run("edge", "label", "press-1", "zone").returncode == 2


def test_what_runs_took_is_summed(site: Site) -> None:
    """Per job and in total: processor time, and the bytes of inputs that were fetched or were there already."""
    make(site, "counted")
    first, second = trained(site, "counted"), trained(site, "counted")
    usage = site.ask("job", "usage")
    told = usage["jobs"]["counted"]
    assert told == site.ask("job", "show", "counted")["usage"]
    assert told["runs"] == 2
    assert told["cpu_s"] == pytest.approx(first["usage"]["cpu_s"] + second["usage"]["cpu_s"])
    assert second["usage"]["cached_bytes"] > 0
    assert told["fetched_bytes"] == first["usage"]["fetched_bytes"] + second["usage"]["fetched_bytes"]
    assert usage["total"]["runs"] >= told["runs"]
