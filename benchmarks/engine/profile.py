"""Where the microseconds of a message go, in the pipeline with four nodes at saturation.

The pipeline runs in this process, and every few milliseconds of its processor time the kernel interrupts it: the
function that is found then gets the time. Work that is done in C counts for the Python function that called it, such as
the kernel's share of sending for ``BufferedSocket.flush``, and ONNX Runtime's for the function that asks it.
"""

import asyncio
import json
import os
import signal
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from benchmarks.engine.asking import broker, load_command
from benchmarks.engine.load import Told
from benchmarks.engine.networks import scorer
from benchmarks.engine.subjects import document, library
from benchmarks.engine.work import Place
from tidemill.cli.pipeline_run import run_pipeline

EVERY_S = 0.001  # the kernel may take longer
SHOWN = 40  # functions
AREAS = {  # by the beginning of a module's name; the longest that fits
    "paho": "paho",
    "threading": "paho",  # its locks
    "namedtuple": "paho",
    "transport": "transport",
    "pipeline_runtime": "engine",
    "pipeline_runtime.nodes": "nodes",
    "pipeline_runtime.libraries": "library node",
    "pipeline_runtime.models": "model node",
    "pipeline_runtime.values.payloads": "JSON",
    "pipeline_runtime.values.formats": "JSON",
    "onnxruntime": "model node",
    "numpy": "model node",
    "asyncio": "asyncio",
    "selectors": "asyncio",
    "edge_agent": "worker",
}

Where = tuple[str, str]
"""A module, and a function in it."""


def profile(qos: int, seconds: float) -> None:
    """Print it."""
    with broker() as (port, folder):
        told, found = asyncio.run(_watched(Place(port, "tidemill", qos), folder, seconds))
    _print(told, found)


async def _watched(place: Place, folder: Path, seconds: float) -> tuple[Told, Counter[Where]]:
    file, model = folder / "pipeline.yaml", scorer(folder / "scorer.onnx")
    file.write_text(document(place))
    given = [f"scorer={model}"], [f"pipelib_press={library(folder)}"]
    running = asyncio.create_task(run_pipeline(file, f"mqtt://127.0.0.1:{place.port}", *given))
    await _ask(place, 1.0)  # to get warm
    with _sampling() as found:
        told = await _ask(place, seconds)
    os.kill(os.getpid(), signal.SIGINT)  # as a person ends it
    await running
    return told, found


async def _ask(place: Place, seconds: float) -> Told:
    command = load_command(place, "--pid", str(os.getpid()), "--seconds", str(seconds))
    asking = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    answer, _ = await asking.communicate()
    return Told(**json.loads(answer))


@contextmanager
def _sampling() -> Iterator[Counter[Where]]:
    """Count where this process is found."""
    found: Counter[Where] = Counter()

    def note(_signal: int, frame: FrameType | None) -> None:
        if frame is not None:
            found[frame.f_globals.get("__name__", "?"), frame.f_code.co_qualname] += 1

    before = signal.signal(signal.SIGPROF, note)
    signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)
    try:
        yield found
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _area(module: str) -> str:
    fitting = [start for start in AREAS if module.startswith(start)]
    return AREAS[max(fitting, key=len)] if fitting else module.partition(".")[0]


def _print(told: Told, found: Mapping[Where, int]) -> None:
    us = told.processor_us / max(1, sum(found.values()))  # of a message, for each time that it was found somewhere
    print(f"\n{told.processor_us:.1f} µs/message, {told.rate:,.0f} messages/s, found {sum(found.values())} times")
    areas: Counter[str] = Counter()
    for (module, _), count in found.items():
        areas[_area(module)] += count
    for area, count in areas.most_common():
        print(f"{count * us:>8.1f} µs  {area}")
    print()
    for (module, function), count in Counter(found).most_common(SHOWN):
        print(f"{count * us:>8.2f} µs  {module}.{function}")
