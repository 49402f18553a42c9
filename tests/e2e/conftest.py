"""Fixtures of the end-to-end tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import Mosquitto
from tests.e2e.world import World


@pytest.fixture
async def world(mosquitto: Mosquitto, tmp_path: Path) -> AsyncIterator[World]:
    """A running controller with a broker, and no edge yet."""
    folder = tmp_path / "world"
    folder.mkdir()
    async with World.running(folder, mosquitto) as running:
        yield running
