"""Scripts that take more than they may, or harm what they can: their task ends with a reason, and nothing else."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from edge_agent.execution import outputs, task_folder
from edge_agent.execution.images import availability
from edge_agent.tasks.outcomes import hint, judge
from edge_agent.tasks.task_machine import accept
from schemas.errors import TaskFailed
from schemas.names import BlobRef
from schemas.runs import Outcome
from tests.integration.workbench import IMAGE, WRITE_MODEL, Workbench, limits, workbench

SPEC = BlobRef(digest=f"sha256:{'0' * 64}", size_bytes=1)
IN_OUTPUT = "import os\nplace = os.path.dirname(os.environ['model_file_path'])\n"


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.docker)])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Workbench]:
    """A workbench with each executor in turn."""
    if request.param == "docker" and (reason := await availability(IMAGE)):
        pytest.skip(reason)
    async with workbench(request.param, tmp_path) as bench:
        yield bench


@pytest.fixture
async def docker_bench(tmp_path: Path) -> AsyncIterator[Workbench]:
    """A workbench with containers alone."""
    if reason := await availability(IMAGE):
        pytest.skip(reason)
    async with workbench("docker", tmp_path) as bench:
        yield bench


@pytest.fixture
async def process_bench(tmp_path: Path) -> AsyncIterator[Workbench]:
    """A workbench with processes alone."""
    async with workbench("process", tmp_path) as bench:
        yield bench


async def ended(bench: Workbench, script: str, **chosen: object) -> tuple[Outcome, str]:
    """How a task of this script ends, and the reason that people are told."""
    spec = bench.spec({"bad.py": script}, limits=limits(**chosen))
    async with asyncio.timeout(90):
        result, lines = await bench.run(bench.request(spec))
    outcome, reason = judge(accept(bench.request(spec, 2).key, SPEC)[0], result, spec.limits)
    return outcome, reason + hint(result, spec.limits, lines[-50:])


MANY_FILES = """
import itertools, pathlib
for number in itertools.count():
    pathlib.Path(f"file{number}").write_bytes(b"x" * 1000)
"""
ONE_FILE = "file = open('big', 'wb')\nwhile True: file.write(b'x' * (1 << 20)); file.flush()"
HIDDEN_TREE = """
import os, itertools
for number in itertools.count():
    os.makedirs(f".a/{number}/b/c")
"""
FILLS = {"many files": MANY_FILES, "one file": ONE_FILE, "empty folders": HIDDEN_TREE}


@pytest.mark.parametrize("fill", FILLS)
async def test_filling_the_disk_ends_the_task(bench: Workbench, fill: str) -> None:
    """However a script fills its working folder, it is ended, and the reason names the limit."""
    outcome, reason = await ended(bench, FILLS[fill], scratch_mb=4, output_mb=4)
    assert outcome is Outcome.SCRIPT_FAILED
    assert reason == "bad.py was ended because its working folder held more than limits.scratch_mb = 4"


async def test_filling_the_outputs_ends_the_task(bench: Workbench) -> None:
    """Outputs have a limit of their own."""
    script = IN_OUTPUT + "os.chdir(place)\n" + ONE_FILE
    assert await ended(bench, script, output_mb=2) == (
        Outcome.SCRIPT_FAILED,
        "bad.py was ended because output/ held more than limits.output_mb = 2",
    )


async def test_a_file_with_a_hole_counts_as_large_as_it_looks(bench: Workbench) -> None:
    """A sparse file takes no disk here, but would where it is copied to."""
    script = IN_OUTPUT + "open(place + '/hole', 'wb').truncate(1 << 30)\nimport time; time.sleep(600)"
    outcome, reason = await ended(bench, script, output_mb=2)
    assert (outcome, "limits.output_mb = 2" in reason) == (Outcome.SCRIPT_FAILED, True)


BURROW = """
import os
for _ in range(3000):
    os.mkdir("d")
    os.chdir("d")
os.chmod("..", 0)
"""


async def test_folders_in_folders_without_end_are_refused_and_removed(bench: Workbench) -> None:
    """A script that nests folders deeper than a path can be long has failed, and what it left can be removed."""
    outcome, reason = await ended(bench, BURROW)
    assert (outcome, reason.partition(" because ")[2]) == (
        Outcome.SCRIPT_FAILED,
        "its working folder held more than limits.scratch_mb = 8192",
    )
    for key in task_folder.keys(bench.data / "tasks"):
        task_folder.wipe(task_folder.folder_of(bench.data / "tasks", key))
    assert task_folder.keys(bench.data / "tasks") == []


@pytest.mark.parametrize(
    "call", ["os.truncate('x', 1 << 40)", "os.posix_fallocate(os.open('x', os.O_RDWR), 0, 1 << 40)"]
)
async def test_no_single_file_can_be_huge(bench: Workbench, call: str) -> None:
    """The kernel refuses what is larger than any limit at once, and the reason says what that means."""
    outcome, reason = await ended(bench, f"import os\nopen('x', 'w')\n{call}", scratch_mb=4, output_mb=4)
    assert outcome is Outcome.SCRIPT_FAILED
    assert "one file cannot be larger than limits.output_mb and limits.scratch_mb allow" in reason


async def test_filling_the_control_folder_ends_the_task(bench: Workbench) -> None:
    """Not even where the runner keeps its log can a script fill the disk."""
    script = IN_OUTPUT + "os.chdir(place + '/../control')\n" + ONE_FILE
    outcome, reason = await ended(bench, script)
    assert (outcome, "'control'" in reason) == (Outcome.SCRIPT_FAILED, True)


async def test_a_disk_that_is_nearly_full_ends_the_task(bench: Workbench) -> None:
    """Whoever took the disk: before the machine has none left, scripts end, in a way that is tried again later."""
    spec = bench.spec({"wait.py": "import time; time.sleep(600)"})
    made = task_folder.create(bench.data / "tasks", bench.request(spec).key, spec, bench.blobs, reserve_bytes=1 << 60)
    async with asyncio.timeout(60):
        result, _ = await bench.run(made)
    assert judge(accept(made.key, SPEC)[0], result, spec.limits)[0] is Outcome.OUT_OF_DISK


async def test_a_memory_bomb_is_ended(bench: Workbench) -> None:
    """Memory is bounded for all of a task's processes together, whichever of them take it."""
    bomb = "import subprocess, sys, time\ncode = 'x = b\"x\" * (100 << 20); import time; time.sleep(600)'\n" + (
        "children = [subprocess.Popen([sys.executable, '-c', code]) for _ in range(3)]\n"
        "raise SystemExit(max(child.wait() != 0 for child in children))"
    )
    outcome, reason = await ended(bench, bomb, memory_mb=200)
    assert (outcome, reason) == (
        Outcome.SCRIPT_FAILED,
        "bad.py was ended because it took more than limits.memory_mb = 200",
    )


FORKS = """
import os, signal, sys
for _ in range(200):
    if os.fork() == 0:
        os.setsid()
        signal.pause()
signal.pause()
"""


async def test_a_fork_bomb_is_ended(bench: Workbench) -> None:
    """A script that starts more processes than it may fails for that, and none of them stays."""
    outcome, reason = await ended(bench, FORKS, pids=30)
    assert outcome is Outcome.SCRIPT_FAILED
    assert reason == "bad.py ended because it had more processes and threads than limits.pids = 30"


async def test_without_a_network_the_reason_says_so(docker_bench: Workbench) -> None:
    """A script that fails because it may not reach anything says which limit that is."""
    outcome, reason = await ended(
        docker_bench, "import urllib.request; urllib.request.urlopen('http://example.org')", network="none"
    )
    assert outcome is Outcome.SCRIPT_FAILED
    assert reason == "bad.py ended with exit code 1; it has no network (limits.network = none)"


async def test_a_process_is_told_that_it_has_a_network(process_bench: Workbench) -> None:
    """Where nothing can take the network away, the log's first line says that."""
    request = process_bench.request(process_bench.spec({"a.py": "print('on')"}, limits=limits(network="none")))
    _, lines = await process_bench.run(request)
    assert lines == [
        "tidemill: limits.network is none, but only a container can keep the scripts from the network",
        "on",
    ]


async def test_a_container_has_no_way_to_docker(docker_bench: Workbench) -> None:
    """Docker's socket, with which one is root on the machine, is nowhere in a container."""
    search = (
        "import os\nplaces = ('/var/run/docker.sock', '/run/docker.sock')\n"
        "print([place for place in places if os.path.exists(place)], 'DOCKER_HOST' in os.environ)"
    )
    _, lines = await docker_bench.run(docker_bench.request(docker_bench.spec({"look.py": search})))
    assert lines == ["[] False"]


async def test_nobody_answers_questions(bench: Workbench) -> None:
    """A script that asks something reads the end of its input instead of waiting for ever."""
    _, lines = await bench.run(bench.request(bench.spec({"ask.py": "import sys; print(repr(sys.stdin.read()))"})))
    assert lines == ["''"]


async def test_the_timeout_holds_without_an_agent(bench: Workbench) -> None:
    """A task whose agent is gone ends by itself, a little after its timeout."""
    request = bench.request(bench.spec({"long.py": "import time; time.sleep(600)"}))
    change_order(request.folder, lambda order: order | {"timeout_s": -14.0})  # overdue a second after its start
    async with asyncio.timeout(60):
        result, _ = await bench.run(request)
    assert result is not None
    assert result.passed == "timeout_s"


HIDDEN = """
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve(sys.executable, [sys.executable, "-c", "import time; time.sleep(654)"], {})
    os._exit(0)
os.wait()
print("gone", flush=True)
"""


async def test_a_process_cannot_hide(bench: Workbench) -> None:
    """One that left its session, its parents and its environment behind is ended with the script all the same."""
    async with asyncio.timeout(60):
        result, lines = await bench.run(bench.request(bench.spec({"hide.py": HIDDEN})))
    assert result is not None
    assert (result.exit_code, lines) == (0, ["gone"])
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert not any("import time; time.sleep(654)" in command for command in commands)


WRECK = """
import os, shutil, sys, time
while not os.path.exists("go"):
    time.sleep(0.01)
control = os.path.dirname(os.environ["model_file_path"]) + "/../control"
for name in os.listdir(control):
    os.remove(f"{control}/{name}")
    os.mkfifo(f"{control}/{name}")
os.symlink("/etc/hostname", control + "/result.json")
print("wrecked", flush=True)
time.sleep(600)
"""


async def test_a_task_without_its_control_files_can_be_ended(bench: Workbench) -> None:
    """A script that deletes what says that it runs is ended by a stop nevertheless, and nothing waits for a pipe."""
    spec = bench.spec({"wreck.py": WRECK})
    request = bench.request(spec)
    handle, _ = await bench.start(request)
    (request.folder / "work/go").touch()
    async with asyncio.timeout(60):
        while not (request.folder / "control/result.json").is_symlink():  # noqa: ASYNC110 - a script tells nobody
            await asyncio.sleep(0.05)
        await bench.executor.stop(handle, grace_s=0)
        assert await bench.executor.wait(handle) is None
        assert [line async for line in bench.executor.log_lines(handle, 0)] == []
    assert not any(
        (process.info["environ"] or {}).get("TIDEMILL_RUN_ID") == str(spec.run_id)
        for process in psutil.process_iter(["environ"])
    )


SPOIL = """
import os, stat
place = os.environ["collection_data_1_path"]
try:
    os.chmod(os.path.dirname(place), 0o700)
    os.chmod(place, 0o600)
    open(place, "w").write("spoilt")
except OSError:
    pass
"""


async def test_inputs_are_never_spoilt_for_others(bench: Workbench) -> None:
    """Whatever a script does to its inputs, the next attempt finds them whole (defect 18)."""
    spec = bench.spec({"spoil.py": SPOIL}, rows=[[{"x": 1}]], additional={"weights": b"old"})
    await bench.run(bench.request(spec))
    read = "import os; print(open(os.environ['collection_data_1_path']).read())"
    again = spec.model_copy(update={"scripts": bench.spec({"read.py": read}).scripts})
    _, lines = await bench.run(bench.request(again, attempt=2))
    assert lines == ['[{"x": 1}]']


async def test_half_changed_weights_do_not_leak(bench: Workbench) -> None:
    """A run that fails after it has changed its weights leaves those of the next run alone (defect 18)."""
    change = (
        "import os\nopen(os.environ['additional_output_folder_path'] + 'weights', 'w').write('half')\n"
        "raise SystemExit(1)"
    )
    spec = bench.spec({"fail.py": change}, additional={"weights": b"old"})
    await bench.run(bench.request(spec))
    read = "import os; print(open(os.environ['additional_output_folder_path'] + 'weights').read())"
    again = spec.model_copy(update={"scripts": bench.spec({"read.py": read}).scripts})
    _, lines = await bench.run(bench.request(again, attempt=2))
    assert lines == ["old"]


SWAPPER = """
import os, sys
place = sys.argv[1]
while True:
    for make in (lambda path: os.symlink("/etc/hostname", path), lambda path: open(path, "w").write("mine")):
        make(place + ".new")
        os.replace(place + ".new", place)
"""


async def test_outputs_that_are_swapped_while_they_are_read_give_nothing_away(process_bench: Workbench) -> None:
    """Between looking and opening a file may become a link: what is kept is the file or nothing, never its target."""
    spec = process_bench.spec({"train.py": WRITE_MODEL})
    request = process_bench.request(spec)
    await process_bench.run(request)
    place = request.folder / "output/additional_output/swapped"
    swapper = await asyncio.create_subprocess_exec(sys.executable, "-c", SWAPPER, str(place))
    secret = Path("/etc/hostname").read_bytes()
    try:
        for _ in range(300):
            try:
                made = await asyncio.to_thread(outputs.collect, request.folder, spec, process_bench.blobs)
            except TaskFailed:
                continue
            kept = [process_bench.blobs.read_bytes(ref.digest, 1000) for ref in made.additional.values()]
            assert set(kept) <= {b"mine", b""}
    finally:
        swapper.kill()
        await swapper.wait()
    assert secret


def change_order(folder: Path, change: Callable[[dict[str, object]], dict[str, object]]) -> None:
    """Give the runner another order than the agent wrote."""
    path = folder / "input/order.json"
    path.parent.chmod(0o755)
    order = change(json.loads(path.read_text()))
    path.unlink()
    path.write_text(json.dumps(order))
    path.chmod(0o444)
