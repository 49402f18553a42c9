"""Energy as codecarbon measures it here, in its own program."""

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import psutil
import pytest

from edge_agent.energy.measuring import EnergyMeasuring
from edge_agent.execution.executor import TaskKey
from schemas.runs import Started
from tests.conftest import Mosquitto
from tests.integration.agent_process import AgentProcess, until
from tests.integration.scripted_controller import ScriptedController

FIRST, SECOND = (TaskKey(UUID(int=number), 1) for number in (1, 2))


@pytest.fixture
async def measuring() -> AsyncIterator[EnergyMeasuring]:
    """A meter for an edge in Germany."""
    if importlib.util.find_spec("codecarbon") is None:
        pytest.skip("codecarbon is not installed (extra: energy)")
    meter = EnergyMeasuring("DEU")
    yield meter
    await meter.close()


async def begun(measuring: EnergyMeasuring) -> None:
    """Wait until everything asked for so far has been measured: questions are answered in turn."""
    await measuring.end(TaskKey(UUID(int=0), 1))


async def work() -> None:
    """Something that takes a while, as a task's script does."""
    script = await asyncio.create_subprocess_exec(sys.executable, "-c", "sum(range(10**7))")
    assert await script.wait() == 0


async def test_tasks_are_given_what_they_took(measuring: EnergyMeasuring) -> None:
    """Two tasks one within the other both took something, in energy and in CO2e, and the outer one more."""
    async with asyncio.timeout(100):
        measuring.begin(FIRST)
        await begun(measuring)
        await work()
        measuring.begin(SECOND)
        await begun(measuring)
        await work()
        inner = await measuring.end(SECOND)
        outer = await measuring.end(FIRST)
    assert inner is not None
    assert outer is not None
    assert 0 < inner.kwh < outer.kwh < 1
    assert 0 < inner.co2e_kg < outer.co2e_kg


async def test_the_end_of_a_task_does_not_wait_for_its_energy(measuring: EnergyMeasuring) -> None:
    """A task that is over before the meter has come up is told without."""
    measuring.begin(FIRST)
    ending = measuring.end(FIRST)
    told = await measuring.told(ending)
    assert told is None or told.kwh > 0
    async with asyncio.timeout(100):
        await ending


async def test_a_meter_that_ends_harms_nothing(measuring: EnergyMeasuring) -> None:
    """Tasks whose meter was killed are told without energy, and the next ones have a new one."""
    async with asyncio.timeout(100):
        measuring.begin(FIRST)
        await begun(measuring)
        for process in psutil.Process().children():
            if "edge_agent.energy.meter" in process.cmdline():
                process.kill()
        assert await measuring.end(FIRST) is None
        measuring.begin(SECOND)
        assert await measuring.end(SECOND) is not None


def meters(agent: AgentProcess) -> list[psutil.Process]:
    """The meters that an agent has started and that have not ended."""
    return [child for child in psutil.Process(agent.pid).children() if _measures(child)]


def _measures(process: psutil.Process) -> bool:
    try:
        return "edge_agent.energy.meter" in process.cmdline()
    except psutil.NoSuchProcess:  # a zombie too
        return False


async def test_a_cancelled_task_leaves_no_meter(
    mosquitto: Mosquitto, scripted: ScriptedController, tmp_path: Path
) -> None:
    """An agent that measures does so while a task runs, and stops when it is cancelled."""
    (tmp_path / "edge").mkdir()
    key = scripted.key.public_key
    with AgentProcess.running(tmp_path / "edge", mosquitto.address, key, energy='"DEU"') as agent:
        run = scripted.run("import time; time.sleep(600)")
        await scripted.want(run)
        await scripted.event(run, Started)
        await until(lambda: bool(meters(agent)))
        await scripted.want()
        await until(lambda: not meters(agent), timeout_s=60)


async def test_nothing_is_measured_unless_the_configuration_says_so() -> None:
    """Without a country no program is started."""
    measuring = EnergyMeasuring(None)
    measuring.begin(FIRST)
    assert await measuring.end(FIRST) is None
    await measuring.close()
