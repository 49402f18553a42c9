"""The agent with containers: adopted after a crash, left running at its end, harmless to it, gone once their run is."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from edge_agent.execution.images import availability
from schemas.broker import BrokerAddress
from schemas.runs import Accepted, Exited, Outcome, Preparing, Started
from tests.integration.agent_process import AgentProcess
from tests.integration.scripted_controller import MODEL, ScriptedController
from tests.integration.workbench import IMAGE

pytestmark = pytest.mark.docker

REPORT_EVERY_S = 2
STORM = """
import os
while True:
    try:
        if os.fork() == 0:
            while True:
                print("x" * 5000, flush=True)
    except OSError:
        pass
"""
WAIT_FOR_ROWS = "import time\nprint('begun', flush=True)\ntime.sleep(4)\n"  # no file of the test is in the container


@pytest.fixture
async def docker_agent(
    broker: BrokerAddress, scripted: ScriptedController, tmp_path: Path
) -> AsyncIterator[AgentProcess]:
    """An agent that runs tasks in containers."""
    if reason := await availability(IMAGE):
        pytest.skip(reason)
    (tmp_path / "edge").mkdir()
    settings = {"executor": '"docker"', "image": f'"{IMAGE}"', "report_every_s": str(REPORT_EVERY_S)}
    with AgentProcess.running(tmp_path / "edge", broker, scripted.key.public_key, **settings) as agent:
        yield agent


async def container_names(run_id: object) -> str:
    """What Docker still has of a run."""
    command = ["docker", "ps", "--all", "--quiet", "--filter", f"name=tidemill-{run_id}"]
    listed = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=30, check=True)
    return listed.stdout.strip()


async def test_a_container_outlives_its_agent_and_is_adopted(
    scripted: ScriptedController, docker_agent: AgentProcess
) -> None:
    """After kill -9 and after SIGTERM the same container is waited for; its model is pulled, and it is removed."""
    run = scripted.run(WAIT_FOR_ROWS + MODEL)
    await scripted.want(run)
    await scripted.event(run, Started)
    docker_agent.kill()
    docker_agent.start()
    await scripted.until(lambda: sum(presence.online for presence in scripted.presences) >= 2)
    container = await container_names(run.run_id)
    assert container
    assert await docker_agent.terminate(timeout_s=5) == 0
    assert await container_names(run.run_id) == container
    docker_agent.start()
    exited = await scripted.event(run, Exited)
    assert (exited.outcome, exited.reason, exited.log_tail) == (Outcome.OK, "", ("begun",))
    assert exited.outputs is not None
    assert await scripted.pull(exited.outputs.model) == b"model"
    told = [event.event for event in scripted.told(run) if not isinstance(event.event, Preparing)]
    assert [type(event) for event in told] == [Accepted, Started, Exited]
    await scripted.want()
    await scripted.report(lambda report: report.generation == 2 and not report.tasks)
    assert await container_names(run.run_id) == ""


async def test_a_cancelled_container_ends_within_ten_seconds(
    scripted: ScriptedController, docker_agent: AgentProcess
) -> None:
    """A run gone from the manifest leaves no container behind."""
    run = scripted.run("import time; time.sleep(600)")
    await scripted.want(run)
    await scripted.event(run, Started)
    await scripted.want()
    await scripted.report(lambda report: report.generation == 2 and not report.tasks, timeout_s=10)
    assert await container_names(run.run_id) == ""
    assert docker_agent.pid


async def test_a_storm_in_a_container_delays_no_report(
    scripted: ScriptedController, docker_agent: AgentProcess
) -> None:
    """Scripts that fork, spin and flood the log as they may never cost an edge its lease.

    The shortest lease that a job can ask for is three reports long, and the agent keeps to it.
    """
    run = scripted.run(STORM, limits={"timeout_s": 6 * REPORT_EVERY_S, "pids": 64})
    await scripted.want(run)
    assert (await scripted.event(run, Exited)).outcome is Outcome.TIMED_OUT
    began, ended = (told.sent_at for told in scripted.told(run) if isinstance(told.event, Started | Exited))
    reports = [report.sent_at for report in scripted.reports if began < report.sent_at < ended]
    silences_s = [(later - earlier).total_seconds() for earlier, later in pairwise([began, *reports, ended])]
    assert max(silences_s) < 3 * REPORT_EVERY_S
    assert docker_agent.pid
