"""What an agent does after it, its broker or its controller was killed, at any moment."""

import asyncio
import random
from pathlib import Path

import pytest

from schemas.manifest import WantedRun
from schemas.runs import Accepted, Exited, Outcome, Preparing, Started
from tests.conftest import Mosquitto
from tests.integration.agent_process import AgentProcess, until
from tests.integration.scripted_controller import MODEL, ScriptedController, mark_run, until_there


def assert_told_once(scripted: ScriptedController, run: WantedRun) -> None:
    """One acceptance, one start and one end, in an unbroken sequence."""
    told = scripted.told(run)
    assert [event.sequence for event in told] == list(range(1, len(told) + 1))
    assert [type(event.event) for event in told if not isinstance(event.event, Preparing)] == [
        Accepted,
        Started,
        Exited,
    ]


async def test_a_task_outlives_its_agent_and_is_adopted(
    scripted: ScriptedController, agent: AgentProcess, tmp_path: Path
) -> None:
    """After kill -9 while it trains, the next agent waits for the same scripts and collects what they made."""
    run = scripted.run(mark_run(tmp_path / "runs") + until_there(tmp_path / "go") + MODEL)
    await scripted.want(run)
    await scripted.event(run, Started)
    agent.kill()
    agent.start()
    (tmp_path / "go").touch()
    assert (await scripted.event(run, Exited)).outcome is Outcome.OK
    assert_told_once(scripted, run)
    assert (tmp_path / "runs").read_text() == "ran\n"


async def test_a_task_that_ends_without_its_agent_is_collected_later(
    scripted: ScriptedController, agent: AgentProcess, tmp_path: Path
) -> None:
    """Scripts that end while no agent runs lose neither their result nor their log."""
    run = scripted.run(until_there(tmp_path / "go") + "print('late')\n" + MODEL)
    await scripted.want(run)
    await scripted.event(run, Started)
    agent.kill()
    (tmp_path / "go").touch()
    await until(lambda: not agent.task_processes())
    agent.start()
    exited = await scripted.event(run, Exited)
    assert (exited.outcome, exited.log_tail) == (Outcome.OK, ("late",))
    assert_told_once(scripted, run)


async def test_a_preparation_goes_on_after_a_crash(
    scripted: ScriptedController, agent: AgentProcess, tmp_path: Path
) -> None:
    """After kill -9 while inputs are fetched, the next agent prepares again and starts the scripts once.

    (defects 10, 11)
    """
    await scripted.send_no_blobs()
    run = scripted.run(mark_run(tmp_path / "runs") + MODEL)
    await scripted.want(run)
    await scripted.event(run, Accepted)
    agent.kill()
    agent.start()
    scripted.send_blobs()
    assert (await scripted.event(run, Exited)).outcome is Outcome.OK
    assert_told_once(scripted, run)
    assert (tmp_path / "runs").read_text() == "ran\n"


@pytest.mark.parametrize("seed", range(4))
async def test_random_kills_never_run_an_attempt_twice(
    scripted: ScriptedController, agent: AgentProcess, tmp_path: Path, seed: int
) -> None:
    """Killed at random moments and started again, the agents tell of one end, and scripts run at most once.

    Exactly once, unless the agent died in the very act of starting them: nobody can tell then, and the task is lost.
    """
    moments = random.Random(seed)
    run = scripted.run(mark_run(tmp_path / "runs") + "import time; time.sleep(1)\n" + MODEL)
    await scripted.want(run)
    for _ in range(6):
        await asyncio.sleep(moments.uniform(0.3, 0.9))  # the moment of the kill is what this test varies
        agent.kill()
        agent.start()
    exited = await scripted.event(run, Exited)
    if exited.outcome is Outcome.OK:
        assert_told_once(scripted, run)
        assert (tmp_path / "runs").read_text() == "ran\n"
    else:
        assert (exited.outcome, exited.reason[:34]) == (Outcome.LOST, "the agent ended while starting it;")
        assert sum(isinstance(told.event, Exited) for told in scripted.told(run)) == 1
        assert not (tmp_path / "runs").exists() or (tmp_path / "runs").read_text() == "ran\n"


async def test_a_cancel_reaches_a_task_whose_agent_was_away(
    scripted: ScriptedController, agent: AgentProcess, tmp_path: Path
) -> None:
    """A run removed from the manifest while the agent was dead is stopped as soon as it is back."""
    run = scripted.run(until_there(tmp_path / "never"))
    await scripted.want(run)
    await scripted.event(run, Started)
    agent.kill()
    await scripted.want()
    agent.start()
    await scripted.report(lambda report: report.generation == 2 and not report.tasks, timeout_s=10)
    assert agent.task_processes() == []


async def test_a_task_whose_processes_vanished_is_lost(
    scripted: ScriptedController, agent: AgentProcess, tmp_path: Path
) -> None:
    """After a power cut there is nothing to adopt: the task is told as lost, and not started again."""
    run = scripted.run(mark_run(tmp_path / "runs") + until_there(tmp_path / "never"))
    await scripted.want(run)
    await scripted.event(run, Started)
    agent.kill()
    for process in agent.task_processes():
        process.kill()
    agent.start()
    assert (await scripted.event(run, Exited)).outcome is Outcome.LOST
    assert_told_once(scripted, run)


async def test_a_task_that_the_journal_does_not_know_is_ended(
    scripted: ScriptedController, agent: AgentProcess, tmp_path: Path
) -> None:
    """Scripts left running by an agent whose journal was lost are stopped, and their folder is wiped."""
    run = scripted.run(until_there(tmp_path / "never"))
    await scripted.want(run)
    await scripted.event(run, Started)
    agent.kill()
    for file in agent.data_dir.glob("journal.sqlite*"):
        file.unlink()
    await scripted.want()
    agent.start()
    await until(lambda: not agent.task_processes() and not list((agent.data_dir / "tasks").iterdir()))


async def test_time_goes_on_while_the_agent_is_away(
    scripted: ScriptedController, agent: AgentProcess, tmp_path: Path
) -> None:
    """A task adopted after its timeout is stopped at once, as timed out."""
    run = scripted.run(until_there(tmp_path / "never"), limits={"timeout_s": 2})
    await scripted.want(run)
    await scripted.event(run, Started)
    agent.kill()
    await asyncio.sleep(2.5)  # the task's own time has to pass
    agent.start()
    assert (await scripted.event(run, Exited, timeout_s=10)).outcome is Outcome.TIMED_OUT


async def test_results_made_without_a_broker_are_delivered(
    scripted: ScriptedController, agent: AgentProcess, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """A task that starts and ends its agent's way through a broker's death is told of completely, and pulled."""
    run = scripted.run(until_there(tmp_path / "go") + MODEL)
    await scripted.want(run)
    await scripted.event(run, Started)
    mosquitto.kill()
    (tmp_path / "go").touch()
    await until(lambda: not agent.task_processes())
    mosquitto.start()
    exited = await scripted.event(run, Exited)
    assert_told_once(scripted, run)
    assert exited.outputs is not None
    assert await scripted.pull(exited.outputs.model) == b"model"


async def test_an_agent_without_a_broker_goes_on_with_its_tasks(
    scripted: ScriptedController, agent: AgentProcess, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """An agent started while the broker is away adopts its task, collects it, and tells when the broker is back."""
    run = scripted.run(until_there(tmp_path / "go") + MODEL)
    await scripted.want(run)
    await scripted.event(run, Started)
    mosquitto.kill()
    agent.kill()
    agent.start()
    (tmp_path / "go").touch()
    folder = agent.data_dir / "tasks" / f"{run.run_id}-1"
    await until(lambda: not folder.exists())  # it is removed once all is collected
    mosquitto.start()
    assert (await scripted.event(run, Exited)).outcome is Outcome.OK
    assert_told_once(scripted, run)


@pytest.mark.usefixtures("agent")
async def test_a_reborn_controller_is_told_again(scripted: ScriptedController) -> None:
    """Events that were not acknowledged, and a report, are sent at once to a controller with a new session."""
    scripted.acknowledges = False
    run = scripted.run(MODEL)
    await scripted.want(run)
    await scripted.event(run, Exited)
    heard, reports = len(scripted.heard), len(scripted.reports)
    await scripted.be_born()
    told = len(scripted.told(run))
    await scripted.until(lambda: len(scripted.heard) >= heard + told and len(scripted.reports) > reports, timeout_s=4)


async def test_a_terminated_agent_leaves_its_task_running(
    scripted: ScriptedController, agent: AgentProcess, tmp_path: Path
) -> None:
    """SIGTERM ends the agent cleanly within five seconds, says so, and the task goes on."""
    run = scripted.run(until_there(tmp_path / "go") + MODEL)
    await scripted.want(run)
    await scripted.event(run, Started)
    assert await agent.terminate(timeout_s=5) == 0
    await scripted.until(lambda: not scripted.presences[-1].online, timeout_s=5)
    assert agent.task_processes() != []
    agent.start()
    (tmp_path / "go").touch()
    assert (await scripted.event(run, Exited)).outcome is Outcome.OK
    assert_told_once(scripted, run)


async def test_a_killed_agent_is_offline_by_its_last_will(scripted: ScriptedController, agent: AgentProcess) -> None:
    """The broker tells of the death, with the session that died."""
    await scripted.until(lambda: bool(scripted.presences) and scripted.presences[-1].online)
    session_id = scripted.presences[-1].session_id
    agent.kill()
    await scripted.until(lambda: not scripted.presences[-1].online, timeout_s=10)
    assert scripted.presences[-1].session_id == session_id
