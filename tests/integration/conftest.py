"""Fixtures of the agent's tests: a scripted controller, and a real agent that trusts it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from schemas.broker import BrokerAddress
from tests.integration.agent_process import AgentProcess
from tests.integration.scripted_controller import ScriptedController


@pytest.fixture
async def scripted(broker: BrokerAddress, tmp_path: Path) -> AsyncIterator[ScriptedController]:
    """A controller that listens, and says what the test tells it to."""
    folder = tmp_path / "controller"
    folder.mkdir()
    async with ScriptedController.running(broker, folder) as running:
        yield running


@pytest.fixture
def agent(broker: BrokerAddress, scripted: ScriptedController, tmp_path: Path) -> Iterator[AgentProcess]:
    """A running agent that trusts the scripted controller; it runs tasks as processes."""
    folder = tmp_path / "edge"
    folder.mkdir()
    with AgentProcess.running(folder, broker, scripted.key.public_key) as running:
        yield running
