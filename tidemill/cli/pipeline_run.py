"""Runs a pipeline file in the foreground: no controller, no agent, the same engine."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

from edge_agent.worker.pipeline_serving import serve
from edge_agent.worker.worker_protocol import Answer, Connect, Load, ModelFile, Order, WorkerStatus
from schemas.report import PipelineState
from tidemill.cli.output import printable, say
from tidemill.cli.pipeline_file import read_pipeline
from tidemill.cli.pipeline_options import broker_address, files_by_name

COUNTERS_EVERY_S = 5.0


async def run_pipeline(file: Path, broker: str, models: list[str], libraries: list[str]) -> int:
    """Answer messages until SIGINT or SIGTERM; what happens is told on stderr.

    Args:
        file: A pipeline in YAML, alone or as the only ``kind: Pipeline`` of a fleet file.
        broker: URL, such as ``mqtt://127.0.0.1:1883``.
        models: ``name=file`` for each model that a node refers to.
        libraries: The same for libraries.

    Raises:
        BadInput: the file, or one that it needs, is wrong; with the line where it can be told.
    """
    connect = Connect(broker=broker_address(broker), client_id=f"tidemill-run-{os.getpid()}", keep_session=False)
    spec, plan = read_pipeline(file)
    load = Load(
        version=1,
        spec=spec,
        models={
            ref: ModelFile(version=1, path=path)
            for ref, path in files_by_name({"--model": models}, plan.models).items()
        },
        libraries=files_by_name({"--library": libraries}, plan.libraries),
    )
    topics = ", ".join(sorted(plan.filters[root] for root in plan.roots))
    printer = _Printer(spec.name, topics)
    await serve(_orders(connect, load), printer.show)
    printer.close()
    return 0


async def _orders(connect: Connect, load: Load) -> AsyncIterator[Order]:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        yield connect
        yield load
        await stop.wait()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


class _Printer:
    """Says on stderr how the pipeline does: at once when its state changes, its counters now and then."""

    def __init__(self, pipeline: str, topics: str) -> None:
        self._pipeline, self._topics = pipeline, topics
        self._state = self._counters = self._counted = ""
        self._counted_at = 0.0

    def show(self, status: Answer) -> None:
        """Say what is new."""
        if not isinstance(status, WorkerStatus):
            return
        now = asyncio.get_running_loop().time()
        listening = f" on {self._topics}" if status.state is PipelineState.LISTENING else ""
        state = f"{status.state}{listening}{': ' + status.reason if status.reason else ''}"
        counters = f"received {status.received}, answered {status.answered}, failed {status.failed}"
        if state != self._state:
            self._state = state
            self._say(state)
        if counters != self._counted and now - self._counted_at >= COUNTERS_EVERY_S:
            self._counted, self._counted_at = counters, now
            self._say(counters)
        self._counters = counters

    def close(self) -> None:
        """Say how it ended."""
        self._say(f"ended; {self._counters}")

    def _say(self, text: str) -> None:
        say(f"{self._pipeline}: {printable(text)}")
