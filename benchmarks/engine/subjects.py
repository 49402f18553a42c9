"""The processes that are measured, each doing the same work on the same broker."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.engine import node_red
from benchmarks.engine.load import WINDOW
from benchmarks.engine.work import FEATURES, LIBRARY, Place
from tests.integration.command import PROGRAM

Process = subprocess.Popen[bytes]

TIDEMILL, BARE_SCRIPT, BARE_LOOP, NODE_RED = "tidemill", "bare script", "bare loop", "node-red"
ECHO = "echo"


def document(place: Place) -> str:
    """The pipeline with four nodes, in YAML."""
    return f"""\
name: {place.name}
queue: {{size: {WINDOW}}}
nodes:
  - {{id: in, type: mqtt_sub, topic: {place.questions}, qos: {place.qos}}}
  - {{id: prepare, type: library, library: pipelib_press, inputs: [in]}}
  - {{id: predict, type: model, model: scorer, features: [{", ".join(FEATURES)}], inputs: [prepare]}}
  - {{id: out, type: mqtt_pub, topic: {place.answers}, qos: {place.qos}, inputs: [predict]}}
"""


def library(folder: Path) -> Path:
    """The library's file."""
    path = folder / "pipelib_press.py"
    path.write_text(LIBRARY)
    return path


def tidemill(place: Place, model: Path, folder: Path) -> Process:
    """The command that runs a pipeline's file."""
    (folder / "pipeline.yaml").write_text(document(place))
    given = ("--model", f"scorer={model}", "--library", f"pipelib_press={library(folder)}")
    broker = ("--broker", f"mqtt://127.0.0.1:{place.port}")
    return _start(folder, str(PROGRAM), "pipeline", "run", str(folder / "pipeline.yaml"), *broker, *given)


def python_peer(module: str) -> Callable[[Place, Path, Path], Process]:
    """A script that is told everything on its command line."""

    def start(place: Place, model: Path, folder: Path) -> Process:
        arguments = (str(place.port), place.questions, place.answers, str(place.qos), str(model))
        return _start(folder, sys.executable, "-m", f"benchmarks.engine.{module}", *arguments)

    return start


SUBJECTS: dict[str, Callable[[Place, Path, Path], Process]] = {
    TIDEMILL: tidemill,
    BARE_SCRIPT: python_peer("bare_script"),
    BARE_LOOP: python_peer("bare_loop"),
    NODE_RED: node_red.start,
    ECHO: python_peer("echo"),
}


@contextmanager
def running(name: str, place: Place, model: Path, folder: Path) -> Iterator[Process]:
    """A subject for the length of the block."""
    folder.mkdir()
    process = SUBJECTS[name](place, model, folder)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def _start(folder: Path, *command: str) -> Process:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(command, env=environment, stdout=(folder / "log").open("wb"), stderr=subprocess.STDOUT)
