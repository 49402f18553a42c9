"""A private broker and a running controller in a folder of their own, for the length of a benchmark."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.conftest import Mosquitto
from tests.e2e.world import World

EXECUTORS = ("process", "docker")


@asynccontextmanager
async def stage() -> AsyncIterator[World]:
    """As the end-to-end tests have it; everything is killed at the end."""
    with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as name:
        folder = Path(name)
        (folder / "mosquitto").mkdir()
        broker = Mosquitto(folder / "mosquitto")
        broker.start()
        try:
            async with World.running(folder, broker) as world:
                yield world
        finally:
            broker.kill()
