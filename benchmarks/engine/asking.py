"""A private broker without limits, and loads on it."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.engine.load import Told
from benchmarks.engine.work import Place
from tests.conftest import Mosquitto

NO_LIMITS = "max_queued_messages 0"  # else messages of QoS 0 are dropped that come faster than they go


@contextmanager
def broker() -> Iterator[tuple[int, Path]]:
    """A broker's port on loopback, and an empty folder, for the length of the block."""
    with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as name:
        folder = Path(name)
        mosquitto = Mosquitto(folder, NO_LIMITS)
        mosquitto.start()
        try:
            yield mosquitto.port, folder
        finally:
            mosquitto.kill()


def load_command(place: Place, *options: str) -> list[str]:
    """The command of a process that asks a subject."""
    arguments = (str(place.port), place.name, "--qos", str(place.qos))
    return [sys.executable, "-m", "benchmarks.engine.load", *arguments, *options]


def load(place: Place, *options: str) -> Told:
    """Ask a subject; returns what came of it."""
    answer = subprocess.run(load_command(place, *options), check=True, stdout=subprocess.PIPE).stdout
    return Told(**json.loads(answer))
