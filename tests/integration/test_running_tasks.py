"""What is heard of a task while it runs and when it has ended, by a real agent over a real broker."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge_agent.execution.images import availability
from schemas.runs import Exited, LogBatch, Outcome, Started
from tests.conftest import Mosquitto
from tests.integration.agent_process import AgentProcess, until
from tests.integration.scripted_controller import MODEL, ScriptedController, until_there
from tests.integration.workbench import IMAGE

AGENT = "agent"


def lines_of(batches: list[LogBatch]) -> list[str]:
    """The lines of all batches, each number once."""
    numbered = {batch.first_line + place: line for batch in batches for place, line in enumerate(batch.lines)}
    return [numbered[number] for number in sorted(numbered)]


@pytest.mark.usefixtures(AGENT)
async def test_log_and_progress_are_heard_while_the_script_runs(scripted: ScriptedController, tmp_path: Path) -> None:
    """Lines and points reach the controller before the script goes on, and the blobs at the end hold all of them."""
    go = tmp_path / "go"
    script = (
        "import json, os\nprogress = open(os.environ['progress_path'], 'a', buffering=1)\n"
        "print('begun')\nprogress.write('{\"step\": 1, \"loss\": 0.5}\\n')\n"
        f"{until_there(go)}{MODEL}"
        "print('\\r50%\\r100%')\nprogress.write('half a line')\nprogress.write('\\n{\"step\": 2}\\n')\n"
    )
    run = scripted.run(script)
    await scripted.want(run)
    await scripted.until(lambda: lines_of(scripted.logs) == ["begun"])
    await scripted.until(lambda: lines_of(scripted.progress) == ['{"step":1,"loss":0.5}'])
    go.touch()
    exited = await scripted.event(run, Exited)
    assert exited.outcome is Outcome.OK
    assert exited.log is not None
    assert exited.progress is not None
    assert await scripted.pull(exited.log) == b"begun\n100%\n"
    assert await scripted.pull(exited.progress) == b'{"step":1,"loss":0.5}\n{"step":2}\n'
    await scripted.until(lambda: lines_of(scripted.progress) == ['{"step":1,"loss":0.5}', '{"step":2}'])


@pytest.mark.usefixtures(AGENT)
async def test_what_a_task_used_is_told(scripted: ScriptedController) -> None:
    """Cpu time and memory of the scripts, and which inputs came over the wire and which were here already."""
    work = "data = b'x' * (50 << 20)\nfor number in range(10**6): number * number\n"
    first = scripted.run(work + MODEL)
    await scripted.want(first)
    usage = (await scripted.event(first, Exited)).usage
    assert usage.cpu_s is not None
    assert usage.cpu_s > 0
    assert usage.memory_peak_bytes is not None
    assert usage.memory_peak_bytes > 50 << 20
    assert (usage.fetched_bytes, usage.cached_bytes) == (len(work + MODEL), 0)
    again = scripted.run(work + MODEL)
    await scripted.want(first, again)
    usage = (await scripted.event(again, Exited)).usage
    assert (usage.fetched_bytes, usage.cached_bytes) == (0, len(work + MODEL))


@pytest.mark.usefixtures(AGENT)
async def test_metrics_come_from_either_file(scripted: ScriptedController) -> None:
    """A declared metric may stand in its own file or among those of metrics_path; optional ones may be missing."""
    script = (
        "import os\nopen(os.environ['accuracy_path'], 'w').write('0.9')\n"
        "open(os.environ['metrics_path'], 'w').write('{\"loss\": 0.1, \"val\": {\"loss\": 0.2}}')\n"
    )
    run = scripted.run(script + MODEL, metrics=["accuracy", "loss"], optional_metrics=["recall"])
    await scripted.want(run)
    exited = await scripted.event(run, Exited)
    assert exited.outputs is not None
    assert exited.outputs.metrics == {"accuracy": 0.9, "loss": 0.1, "val_loss": 0.2}
    missing = scripted.run(script + MODEL, metrics=["accuracy", "recall"])
    await scripted.want(run, missing)
    exited = await scripted.event(missing, Exited)
    assert exited.outcome is Outcome.OUTPUT_REFUSED
    assert "'recall' is declared, but nothing was written to recall_path, nor is it in metrics_path" in exited.reason


@pytest.mark.usefixtures(AGENT)
async def test_a_hundred_megabytes_of_log_are_cut_in_the_middle(scripted: ScriptedController) -> None:
    """The task ends well, with the log's beginning and its very end, and the agent keeps ten megabytes at most."""
    flood = "line = 'x' * 999\nprint('first')\nfor _ in range(100): print('\\n'.join([line] * 1000))\nprint('last')\n"
    run = scripted.run(flood + MODEL)
    await scripted.want(run)
    exited = await scripted.event(run, Exited, timeout_s=120)
    assert (exited.outcome, exited.log_tail[-1]) == (Outcome.OK, "last")
    assert exited.log is not None
    kept = (await scripted.pull(exited.log)).splitlines()
    assert (kept[0], kept[-1]) == (b"first", b"last")
    assert sum(map(len, kept)) < 10_000_000
    assert sum(b"bytes of the log are left out here" in line for line in kept) == 1


SPIN = "import os\nfor _ in range(3): os.fork()\nwhile True: pass\n"
BOMBS = {
    "spinning processes": SPIN,
    "endless lines": "while True: print('x' * 200)\n",
    "one endless line": "while True: print('x' * 100_000, end='')\n",
    "endless progress": "import os\nfile = open(os.environ['progress_path'], 'a')\n"
    "for _ in range(200_000): print('{\"step\": 1}', file=file)\nwhile True: pass\n",
    "one file written again and again": "while True: open('big', 'wb').write(b'x' * (64 << 20))\n",
    "files made and removed": "import os\nwhile True:\n    for n in range(999): open(f'f{n}', 'w')\n"
    "    for n in range(999): os.remove(f'f{n}')\n",
    "memory taken and freed": "while True: b'x' * (256 << 20)\n",
    "processes that come and go": "import os\nwhile True:\n    if os.fork() == 0: os._exit(0)\n    os.wait()\n",
}


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.docker)])
async def any_agent(
    request: pytest.FixtureRequest, mosquitto: Mosquitto, scripted: ScriptedController, tmp_path: Path
) -> AsyncIterator[AgentProcess]:
    """An agent with each executor in turn."""
    if request.param == "docker" and (reason := await availability(IMAGE)):
        pytest.skip(reason)
    (tmp_path / "edge").mkdir()
    settings = {"executor": f'"{request.param}"', "image": f'"{IMAGE}"'}
    with AgentProcess.running(tmp_path / "edge", mosquitto.address, scripted.key.public_key, **settings) as agent:
        yield agent


@pytest.mark.usefixtures("any_agent")
@pytest.mark.parametrize("bomb", BOMBS)
async def test_reports_keep_coming_while_a_bomb_runs(scripted: ScriptedController, bomb: str) -> None:
    """A script that takes all it may get holds up neither the agent's reports nor its own end."""
    run = scripted.run(BOMBS[bomb], limits={"pids": 64, "memory_mb": 512})
    await scripted.want(run)
    await scripted.event(run, Started)
    before = len(scripted.reports)
    await scripted.until(lambda: len(scripted.reports) >= before + 3)
    assert not any(isinstance(told.event, Exited) for told in scripted.told(run))
    await scripted.want()
    await scripted.report(lambda report: report.generation == 2 and not report.tasks)


async def test_a_cut_off_edge_ends_its_task_by_itself(
    mosquitto: Mosquitto, scripted: ScriptedController, agent: AgentProcess
) -> None:
    """Without the broker for longer than the job allows, the scripts are ended; the controller is told later."""
    await scripted.be_born()
    run = scripted.run("import time; time.sleep(600)", stop_after_s=1)
    await scripted.want(run)
    await scripted.event(run, Started)
    assert agent.task_processes()
    mosquitto.kill()
    await until(lambda: not agent.task_processes())
    mosquitto.start()
    exited = await scripted.event(run, Exited)
    assert (exited.outcome, exited.reason) == (
        Outcome.LOST,
        "the edge was cut off for 1 s, as silence.stop_after says",
    )


async def test_an_edge_without_a_controller_ends_its_task_by_itself(
    scripted: ScriptedController, agent: AgentProcess
) -> None:
    """A broker that is there does not help when it says that the controller is gone."""
    await scripted.be_born()
    run = scripted.run("import time; time.sleep(600)", stop_after_s=1)
    await scripted.want(run)
    await scripted.event(run, Started)
    await scripted.die()
    assert (await scripted.event(run, Exited)).outcome is Outcome.LOST
    assert agent.task_processes() == []


async def test_no_task_begins_on_a_disk_that_is_nearly_full(
    mosquitto: Mosquitto, scripted: ScriptedController, tmp_path: Path
) -> None:
    """What an agent keeps free is kept free, and the outcome is one that may be better later or elsewhere."""
    (tmp_path / "edge").mkdir()
    settings = {"disk_reserve_mb": str(10**9)}
    with AgentProcess.running(tmp_path / "edge", mosquitto.address, scripted.key.public_key, **settings):
        run = scripted.run(MODEL)
        await scripted.want(run)
        exited = await scripted.event(run, Exited)
    assert exited.outcome is Outcome.OUT_OF_DISK
    assert "disk_reserve_mb" in exited.reason
