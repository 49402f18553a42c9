"""The contract that every executor keeps, on real processes and in real containers."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from edge_agent.execution import outputs, task_folder
from edge_agent.execution.executor import ExitResult
from edge_agent.execution.images import availability
from schemas.errors import TaskFailed
from schemas.tasks import TaskData, TaskHoldout
from tests.integration.workbench import IMAGE, WRITE_MODEL, Workbench, limits, workbench

ALL_VARIABLES = """
import json, os
env = os.environ
rows = json.load(open(env["collection_data_1_path"])) + json.load(open(env["collection_data_2_path"]))
assert env["additional_output_folder_path"].endswith("/")
weights = env["additional_output_folder_path"] + "weights/last.bin"
assert open(weights, "rb").read() == b"old"
open(weights, "wb").write(b"new")
open(env["additional_output_folder_path"] + "labels.json", "w").write("[]")
assert open(env["base_model_path"], "rb").read() == b"base"
open(env["model_file_path"], "wb").write(b"onnx")
open(env["accuracy_path"], "w").write(" 0.25\\n")
open(env["progress_path"], "a").write('{"step": 1, "loss": 0.5}\\n')
assert json.loads(env["TIDEMILL_PARAMS"]) == {"epochs": 2, "note": "a {b} \\u00e9"}, env["TIDEMILL_PARAMS"]
print(env["TIDEMILL_JOB"], env["TIDEMILL_RUN_ID"], env["TIDEMILL_ATTEMPT"], sum(row["x"] for row in rows))
"""


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.docker)])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Workbench]:
    """A workbench with each executor in turn."""
    if request.param == "docker" and (reason := await availability(IMAGE)):
        pytest.skip(reason)
    async with workbench(request.param, tmp_path) as bench:
        yield bench


@pytest.fixture
async def process_bench(tmp_path: Path) -> AsyncIterator[Workbench]:
    """A workbench with processes alone."""
    async with workbench("process", tmp_path) as bench:
        yield bench


async def test_a_script_finds_every_variable_of_the_contract(bench: Workbench) -> None:
    """Rows, base model, former outputs and identity are where the variables say, and what it makes is collected."""
    spec = bench.spec(
        {"train.py": ALL_VARIABLES},
        rows=[[{"x": 1}, {"x": 2}], [{"x": 4}]],
        additional={"weights/last.bin": b"old"},
        metrics=("accuracy",),
        base_model=bench.blobs.put_bytes(b"base"),
        params={"epochs": 2, "note": "a {b} é"},
    )
    request = bench.request(spec)
    result, lines = await bench.run(request)
    assert lines == [f"iris {spec.run_id} 1 7"]
    assert isinstance(result, ExitResult)
    assert (result.exit_code, result.script, result.passed) == (0, "train.py", "")
    assert 0 < result.script_s < 30
    made = outputs.collect(request.folder, spec, bench.blobs)
    assert bench.blobs.read_bytes(made.model.digest, 100) == b"onnx"
    assert made.metrics == {"accuracy": 0.25}
    assert {path: bench.blobs.read_bytes(blob.digest, 100) for path, blob in made.additional.items()} == {
        "labels.json": b"[]",
        "weights/last.bin": b"new",
    }


async def test_the_first_failure_ends_the_task(bench: Workbench) -> None:
    """Scripts run in order; none runs after one that failed, whose exit code and name are the result."""
    request = bench.request(
        bench.spec({"b.py": "print('one', end='')", "a.py": "print('two'); exit(3)", "c.py": "print('never')"})
    )
    result, lines = await bench.run(request)
    assert result is not None
    assert (result.exit_code, result.script) == (3, "a.py")
    assert lines == ["one", "two"]


async def test_file_names_are_never_commands(bench: Workbench) -> None:
    """Spaces, quotes, semicolons, colons and any letters in names are names and no more (defects 8, 14)."""
    name = "we ird 'na;me: $(touch x) é.py"
    spec = bench.spec({name: WRITE_MODEL}, additional={"a b/ü:1.txt": b"x"})
    request = bench.request(spec)
    result, lines = await bench.run(request)
    assert result is not None
    assert (result.exit_code, result.script, lines) == (0, name, [])
    assert set(outputs.collect(request.folder, spec, bench.blobs).additional) == {"a b/ü:1.txt"}


NASTY = """a"b'c;touch x && $(touch x) `touch x` | touch x\n$HOME %PATH% {y} \\ é"""


async def test_values_are_never_commands(bench: Workbench) -> None:
    """Parameters and variables reach the scripts letter by letter, whatever a shell would make of them (defect 14)."""
    show = "import os, json; print(json.dumps([os.environ['NOTE'], json.loads(os.environ['TIDEMILL_PARAMS'])['note']]))"
    spec = bench.spec({"show.py": show}, params={"note": NASTY}, variables={"NOTE": NASTY})
    request = bench.request(spec)
    _, lines = await bench.run(request)
    assert [json.loads(line) for line in lines] == [[NASTY, NASTY]]
    assert not list(request.folder.rglob("x"))
    assert not Path("x").exists()


async def test_scripts_see_no_credentials(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the agent has in its environment does not reach the scripts, but for a short list."""
    monkeypatch.setenv("TIDEMILL_AGENT_BROKER__PASSWORD", "secret")
    request = bench.request(bench.spec({"show.py": "import os, json; print(json.dumps(dict(os.environ)))"}))
    _, lines = await bench.run(request)
    seen = json.loads(lines[0])
    assert "secret" not in seen.values()
    assert seen["HOME"].endswith("/work")


async def test_an_attempt_starts_clean(bench: Workbench) -> None:
    """What an earlier attempt wrote is not there, so that nobody can pass it off as new (defects 7, 15, 18)."""
    spec = bench.spec({"train.py": WRITE_MODEL})
    first = bench.request(spec)
    await bench.run(first)
    second = bench.request(spec.model_copy(update={"scripts": bench.spec({"idle.py": "pass"}).scripts}), attempt=2)
    result, _ = await bench.run(second)
    assert result is not None
    assert result.exit_code == 0
    with pytest.raises(TaskFailed, match="nothing was written to model_file_path"):
        outputs.collect(second.folder, spec, bench.blobs)


async def test_starting_twice_runs_once(bench: Workbench) -> None:
    """However often and from however many places an attempt is started, its scripts run once."""
    request = bench.request(bench.spec({"count.py": "open('count', 'a').write('x')"}))
    environment = await bench.executor.prepare(request, lambda _note: None)
    handles = await asyncio.gather(*(bench.executor.start(request, environment) for _ in range(4)))
    assert len(set(handles)) == 1
    assert await bench.executor.wait(handles[0]) is not None
    assert await bench.executor.start(request, environment) == handles[0]
    assert (request.folder / "work/count").read_text() == "x"
    await bench.executor.remove(handles[0])
    assert await bench.executor.find(request.key) is None
    assert await bench.executor.all() == []


STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = "import signal, time; signal.signal(15, signal.SIG_IGN); print('child', flush=True); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", child])
subprocess.Popen([sys.executable, "-c", child], start_new_session=True)
time.sleep(600)
"""


async def test_stop_ends_a_script_that_ignores_it(bench: Workbench) -> None:
    """A script that ignores SIGTERM, its child and a child in another session are all gone within ten seconds."""
    request = bench.request(bench.spec({"stubborn.py": STUBBORN}))
    handle, _ = await bench.start(request)
    log = bench.executor.log_lines(handle, 0)
    async with asyncio.timeout(30):
        assert [await anext(log), await anext(log)] == ["child", "child"]
    started = time.monotonic()
    await bench.executor.stop(handle, grace_s=1)
    assert time.monotonic() - started < 10
    assert running_with(str(request.key.run_id)) == []
    assert [line async for line in log] == []
    assert await bench.executor.wait(handle) is None
    await bench.executor.stop(handle, grace_s=1)  # again: nothing to do


async def test_stop_lets_a_script_end_by_itself(bench: Workbench) -> None:
    """SIGTERM reaches the script, which may clean up; no further script is started."""
    polite = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), sys.exit(0)))\n"
        "print('ready', flush=True)\ntime.sleep(600)\n"
    )
    request = bench.request(bench.spec({"polite.py": polite, "next.py": "print('never')"}))
    handle, _ = await bench.start(request)
    log = bench.executor.log_lines(handle, 0)
    async with asyncio.timeout(30):
        assert await anext(log) == "ready"
    await bench.executor.stop(handle, grace_s=20)
    assert [line async for line in log] == ["bye"]
    assert await bench.executor.wait(handle) is None


async def test_a_killed_agents_task_is_adopted(bench: Workbench) -> None:
    """After ``kill -9`` of the agent a new one finds the task, waits for it, and gets its exit code and every line."""
    script = "import os, time\nprint('first')\nwhile not os.path.exists('go'): time.sleep(0.02)\nprint('last'); exit(5)"
    spec = bench.spec({"slow.py": script})
    (bench.data / "spec.json").write_text(spec.model_dump_json())
    agent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.start_task", bench.executor.name, str(bench.data)),
        str(spec.run_id),
        stdout=asyncio.subprocess.PIPE,
    )
    assert agent.stdout is not None
    async with asyncio.timeout(60):
        assert await agent.stdout.readline() == b"started\n"
    os.kill(agent.pid, signal.SIGKILL)
    await agent.wait()
    key = task_folder.keys(bench.data / "tasks")[0]
    handle = await bench.executor.find(key)
    assert handle is not None
    assert await bench.executor.all() == [handle]
    log = bench.executor.log_lines(handle, 0)
    assert await anext(log) == "first"
    (bench.data / "tasks" / str(key) / "work/go").touch()
    async with asyncio.timeout(30):
        assert [line async for line in log] == ["last"]
        result = await bench.executor.wait(handle)
    assert result is not None
    assert (result.exit_code, result.script) == (5, "slow.py")
    assert [line async for line in bench.executor.log_lines(handle, 1)] == ["last"]


async def test_an_environment_is_made_once(bench: Workbench) -> None:
    """Tasks that need the same wait for one installation; later ones find it, and the package can be imported.

    (defect 17)
    """
    specs = [bench.spec({"use.py": "import tidepool; print(tidepool.DEPTH)"}, requirements="tidepool") for _ in "12"]
    requests = [bench.request(spec) for spec in specs]
    notes: list[str] = []
    made = await asyncio.gather(*(bench.executor.prepare(request, notes.append) for request in requests))
    assert sorted(environment.cached for environment in made) == [False, True]
    assert len({environment.key for environment in made}) == 1
    assert "waiting for the same environment to be installed" in notes
    assert any("tidepool" in note for note in notes)
    assert (await bench.executor.prepare(requests[0], notes.append)).cached
    _, lines = await bench.run(requests[0])
    assert lines == ["7"]


async def test_half_an_environment_is_made_again(bench: Workbench) -> None:
    """An installation that a crash cut off is not taken for a whole one."""
    request = bench.request(bench.spec({"use.py": "import tidepool"}, requirements="tidepool"))
    environment = await bench.executor.prepare(request, lambda _note: None)
    (environment.path.parent / "complete").unlink()
    (environment.path / "pyvenv.cfg").unlink()
    assert not (await bench.executor.prepare(request, lambda _note: None)).cached
    result, _ = await bench.run(request)
    assert result is not None
    assert result.exit_code == 0


async def test_failing_requirements_name_the_package(bench: Workbench) -> None:
    """A requirement that does not exist fails the task, with pip's own words."""
    request = bench.request(bench.spec({"use.py": "pass"}, requirements="no-such-tide==1"))
    with pytest.raises(TaskFailed, match="No matching distribution found for no-such-tide==1"):
        await bench.executor.prepare(request, lambda _note: None)


async def test_output_beyond_the_limit_ends_the_script(bench: Workbench) -> None:
    """A script that fills the disk is ended long before its timeout, and the log says why."""
    fill = (
        "import os\nwith open(os.environ['model_file_path'], 'wb') as file:\n"
        "    for _ in range(8): file.write(b'x' * (1 << 20)); file.flush()\nimport time; time.sleep(600)"
    )
    request = bench.request(bench.spec({"fill.py": fill}, limits=limits(output_mb=2)))
    async with asyncio.timeout(60):
        result, lines = await bench.run(request)
    assert result is not None
    assert (result.exit_code, result.passed) == (137, "output_mb")
    assert lines == ["tidemill: output_mb was passed: the scripts are ended"]


async def test_a_flood_of_log_is_bounded(bench: Workbench) -> None:
    """Of a log that is too long the start and the end are kept, and a line says what is missing."""
    flood = "line = 'x' * 1000 + '\\n'\nprint('first')\nfor _ in range(30): print(line * 1000)\nprint('last')"
    request = bench.request(bench.spec({"flood.py": flood}))
    async with asyncio.timeout(120):
        _, lines = await bench.run(request)
    assert (lines[0], lines[-1]) == ("first", "last")
    assert sum("bytes of the log are left out here" in line for line in lines) == 1
    assert sum(map(len, lines)) < 17 * 1024 * 1024


async def test_a_child_left_behind_does_not_hold_up_the_task(bench: Workbench) -> None:
    """A task ends with its last script, and what that left running is ended too."""
    leave = (
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
        "print('done')"
    )
    request = bench.request(bench.spec({"leave.py": leave}))
    async with asyncio.timeout(30):
        result, lines = await bench.run(request)
    assert result is not None
    assert (result.exit_code, lines) == (0, ["done"])
    assert running_with(str(request.key.run_id)) == []


async def test_a_vanished_process_is_told(process_bench: Workbench) -> None:
    """A task whose processes were killed from outside has no exit code, and its attempt never runs again."""
    request = process_bench.request(process_bench.spec({"sleep.py": "import time; time.sleep(600)"}))
    handle, environment = await process_bench.start(request)
    for pid in running_with(str(request.key.run_id)):
        os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(20):
        assert await process_bench.executor.wait(handle) is None
    assert await process_bench.executor.start(request, environment) == handle
    assert running_with(str(request.key.run_id)) == []


async def test_a_start_that_was_cut_off_never_takes_place(process_bench: Workbench) -> None:
    """Once ``find`` has said that there is no task, a runner that a killed agent had launched ends at once."""
    request = process_bench.request(process_bench.spec({"late.py": "open('ran', 'w')"}))
    (request.folder / "control/launching").touch()  # as far as the killed agent came
    assert await process_bench.executor.find(request.key) is None
    late = await asyncio.create_subprocess_exec(sys.executable, request.folder / "input/runner", request.folder)
    async with asyncio.timeout(20):
        assert await late.wait() != 0
    assert not (request.folder / "work/ran").exists()
    assert await process_bench.executor.all() == []


def running_with(run_id: str) -> list[int]:
    """The processes whose environment carries this run, in containers too."""
    return [
        process.pid
        for process in psutil.process_iter(["environ", "status"])
        if (process.info["environ"] or {}).get("TIDEMILL_RUN_ID") == run_id
    ]


SECRETIVE = """
import os, sys, time
value, path = os.environ["PASSWORD"], os.environ["key_path"]
assert open(path).read() == "-----KEY-----\\nabcdefgh12345678\\n-----END-----\\n"
print("as it is:", value)
sys.stdout.write("in two " + value[:5])
sys.stdout.flush()
time.sleep(0.3)
print(value[5:])
print(open(path).read())
raise ValueError(value)
"""


async def test_secrets_reach_the_scripts_and_not_the_log(bench: Workbench) -> None:
    """A script finds a secret in its variable or file, and wherever it prints one the log has a mask."""
    folder = bench.data / "secrets"
    (folder / "files").mkdir(parents=True)
    secrets = {"variables": {"PASSWORD": "tide-and-time"}, "files": {"key.pem": "key_path"}}
    (folder / "secrets.json").write_text(json.dumps(secrets))
    (folder / "files/key.pem").write_text("-----KEY-----\nabcdefgh12345678\n-----END-----\n")
    request = replace(bench.request(bench.spec({"use.py": SECRETIVE})), secrets=folder)
    result, lines = await bench.run(request)
    assert result is not None
    assert result.exit_code == 1
    assert lines[:2] == ["as it is: ••••", "in two ••••"]
    assert lines[-1] == "ValueError: ••••"
    log = (request.folder / "control/log").read_text()
    assert not any(plain in log for plain in ("tide-and-time", "abcdefgh12345678"))


async def test_rows_have_the_name_of_their_format(bench: Workbench) -> None:
    """A script may tell from the file's name how its rows and the holdout are written."""
    put = bench.blobs.put_bytes
    look = (
        "import os\nfor name in ('collection_data_1_path', 'holdout_data_path'):\n"
        "    print(os.path.basename(os.environ[name]), open(os.environ[name]).read())"
    )
    spec = bench.spec({"look.py": look})
    data = (TaskData(index=1, blob=put(b"x,y"), rows=0, format="csv"),)
    spec = spec.model_copy(update={"data": data, "holdout": TaskHoldout(blob=put(b"{}"), rows=1, format="ndjson")})
    _, lines = await bench.run(bench.request(spec))
    assert lines == ["collection_data_1.csv x,y", "holdout_data.ndjson {}"]


async def test_variables_of_the_job_are_set_and_cannot_pass_for_others(bench: Workbench) -> None:
    """A job's own variables are there; those that say which run this is stay true whatever the job says."""
    variables = {"MODE": "fast; $(rm -rf /) \"'", "TIDEMILL_JOB": "another"}
    script = "import os; print(os.environ['MODE'], os.environ['TIDEMILL_JOB'])"
    _, lines = await bench.run(bench.request(bench.spec({"a.py": script}, variables=variables)))
    assert lines == ["fast; $(rm -rf /) \"' iris"]
