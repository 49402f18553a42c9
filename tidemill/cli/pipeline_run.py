"""Runs a pipeline file in the foreground: no controller, no agent, the same engine."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

from edge_agent.worker.pipeline_serving import serve
from edge_agent.worker.worker_protocol import Answer, Connect, Load, ModelFile, Order, WorkerStatus
from schemas.errors import BadPayload
from schemas.report import PipelineState
from tidemill.cli.output import printable, say
from tidemill.cli.pipeline_file import read_pipeline
from tidemill.cli.pipeline_options import broker_address, files_by_name
from tidemill.cli.run_session import run_session

COUNTERS_EVERY_S = 5.0


async def run_pipeline(
    file: Path, broker: str, models: list[str], libraries: list[str], session_name: str | None = None
) -> None:
    """Answer messages until SIGINT or SIGTERM, or until the pipeline stops itself; what happens is told on stderr.

    Args:
        file: A pipeline in YAML, alone or as the only ``kind: Pipeline`` of a fleet file.
        broker: URL, such as ``mqtt://127.0.0.1:1883``.
        models: ``name=file`` for each model that a node refers to.
        libraries: The same for libraries.
        session_name: The broker keeps messages under it while nobody runs this; None: it keeps none.

    Raises:
        BadInput: the file, or one that it needs, is wrong; with the line where it can be told.
        Conflict: another process here uses that session.
        BadPayload: the pipeline stopped itself at a message, as its ``on_error`` says.
    """
    address = broker_address(broker)
    spec, plan = read_pipeline(file)
    model_files = files_by_name({"--model": models}, plan.models)
    load = Load(
        version=1,
        spec=spec,
        models={ref: ModelFile(version=1, path=path) for ref, path in model_files.items()},
        libraries=files_by_name({"--library": libraries}, plan.libraries),
    )
    topics = ", ".join(sorted(plan.filters[root] for root in plan.roots))
    printer = _Printer(spec.name, topics)
    stop = asyncio.Event()
    stopped_itself = ""
    with run_session(session_name, address, plan) as session:

        def hear(answer: Answer) -> None:
            nonlocal stopped_itself
            if not isinstance(answer, WorkerStatus):
                return
            printer.show(answer)
            if answer.state is PipelineState.LISTENING:
                session.listens()
            elif answer.state is PipelineState.FAILED:  # nobody can give it another version here
                stopped_itself = answer.reason
                stop.set()

        await serve(_orders(session.connect, load, stop), hear)
    printer.close()
    if stopped_itself:
        raise BadPayload(f"{spec.name} {stopped_itself}; {_what_becomes(session_name)}")


def _what_becomes(session_name: str | None) -> str:
    """Of the message at which the pipeline stopped."""
    if session_name is None:
        return "that message is lost, and what waited behind it: with --session the broker keeps those of QoS 1"
    return f"if it is of QoS 1, the broker keeps that message for session {session_name!r}, and what waits behind it"


async def _orders(connect: Connect, load: Load, stop: asyncio.Event) -> AsyncIterator[Order]:
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

    def show(self, status: WorkerStatus) -> None:
        """Say what is new."""
        now = asyncio.get_running_loop().time()
        listening = f" on {self._topics}" if status.state is PipelineState.LISTENING else ""
        state = f"{status.state}{listening}{': ' + status.reason if status.reason else ''}"
        counters = (
            f"received {status.received}, answered {status.answered}, failed {status.failed}, dropped {status.dropped}"
        )
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
