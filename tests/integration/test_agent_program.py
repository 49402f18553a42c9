"""The agent as a program: its configuration, its one data folder, its end."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from schemas.broker import BrokerAddress
from schemas.runs import Exited, Outcome, Started
from tests.integration.agent_process import AgentProcess, until
from tests.integration.scripted_controller import ScriptedController, until_there

IDLE_LIMIT_BYTES = 80_000_000
KEY = f"ed25519:{'A' * 43}="


def start_alone(config: Path) -> subprocess.CompletedProcess[str]:
    """Start an agent that is expected to end by itself."""
    command = [sys.executable, "-m", "edge_agent", str(config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


@pytest.fixture
def ending_agent(broker: BrokerAddress, scripted: ScriptedController, tmp_path: Path) -> Iterator[AgentProcess]:
    """An agent whose tasks end with it."""
    (tmp_path / "edge").mkdir()
    public_key = scripted.key.public_key
    with AgentProcess.running(tmp_path / "edge", broker, public_key, end_tasks_on_exit="true") as agent:
        yield agent


async def test_tasks_end_with_an_agent_that_is_told_so(
    scripted: ScriptedController, ending_agent: AgentProcess, tmp_path: Path
) -> None:
    """With end_tasks_on_exit nothing runs after SIGTERM, and the next agent tells that the task was lost."""
    run = scripted.run(until_there(tmp_path / "never"))
    await scripted.want(run)
    await scripted.event(run, Started)
    assert await ending_agent.terminate(timeout_s=5) == 0
    assert ending_agent.task_processes() == []
    ending_agent.start()
    exited = await scripted.event(run, Exited)
    assert exited.outcome is Outcome.LOST
    assert "end_tasks_on_exit" in exited.reason


async def test_one_data_folder_has_one_agent(agent: AgentProcess) -> None:
    """A second agent on the same folder ends with code 4 and names the first."""
    await until((agent.data_dir / "journal.sqlite").exists)
    second = await asyncio.to_thread(start_alone, agent.config)
    assert second.returncode == 4
    assert f"another agent (pid {agent.pid}) uses {agent.data_dir}" in second.stderr


async def test_an_idle_agent_is_small(scripted: ScriptedController, agent: AgentProcess) -> None:
    """Without tasks and pipelines the agent keeps below eighty megabytes."""
    await scripted.want()
    await scripted.report(lambda report: report.generation == 1)
    assert psutil.Process(agent.pid).memory_info().rss < IDLE_LIMIT_BYTES


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "`edge` is needed and missing"),
        (f'edge = "Press 1"\ncontroller_public_key = "{KEY}"', "`edge` is wrong"),
        (f'edge = "press-1"\ncontroller_public_key = "{KEY}"\nmax_task = 2', "`max_task` is no setting"),
        (f'edge = "press-1"\ncontroller_public_key = "{KEY}"\n[broker]\nurl = "amqp://x"', "`broker.url` is wrong"),
        ("edge =", "is not TOML"),
    ],
)
def test_a_wrong_configuration_is_told_by_file_and_key(tmp_path: Path, text: str, told: str) -> None:
    """One line names the file and the key, without a stack trace, and the exit code is 2."""
    config = tmp_path / "agent.toml"
    config.write_text(text)
    ended = start_alone(config)
    assert ended.returncode == 2
    assert str(config) in ended.stderr
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr
