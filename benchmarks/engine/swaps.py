"""A pipeline whose model is swapped again and again while questions keep coming: what is lost, and what memory is kept.

The worker is run as an agent runs it. Each swap brings a model that the worker does not have loaded.
"""

import asyncio
import json
import statistics
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from time import perf_counter

import psutil

from benchmarks.engine.asking import broker, load_command
from benchmarks.engine.load import Told
from benchmarks.engine.networks import scorer
from benchmarks.engine.serving import ready, worker_pids
from benchmarks.engine.work import Place
from benchmarks.figures import Figure
from schemas.broker import BrokerAddress
from tests.integration.pipeline_desk import desk

RATE = 500.0
PAUSE_S = 0.015  # between two swaps, for some questions to be answered by each model
SAMPLES = 50  # of the memory
GOAL_MB = 1.0  # that it may grow after the first fifth


def measure(swaps: int) -> list[Figure]:
    """The pipeline has four nodes and QoS 1."""
    with broker() as (port, folder):
        return asyncio.run(_measure(Place(port, "swapped", 1), folder, swaps))


async def _measure(place: Place, folder: Path, swaps: int) -> list[Figure]:
    models = [scorer(folder / f"scorer{seed}.onnx", seed) for seed in (0, 1)]
    async with desk(BrokerAddress(url=f"mqtt://127.0.0.1:{place.port}")) as table:
        table.supervisor.apply({place.name: ready(place, models[0], folder)})
        await table.serving(name=place.name)
        (pid,) = worker_pids()
        asking = await asyncio.create_subprocess_exec(
            *load_command(place, "--rate", str(RATE)), stdin=PIPE, stdout=PIPE
        )
        await table.until(lambda status: status.answered > 0, place.name)
        took_ms: list[float] = []
        memory_mb: list[float] = []
        for number in range(1, swaps + 1):
            began_s = perf_counter()
            table.supervisor.apply({place.name: ready(place, models[number % 2], folder, version=1 + number)})
            await table.serving(1 + number, place.name)
            took_ms.append((perf_counter() - began_s) * 1e3)
            await asyncio.sleep(PAUSE_S)
            if number % max(1, swaps // SAMPLES) == 0:
                memory_mb.append(psutil.Process(pid).memory_info().rss / 1e6)
        told = await _end(asking)
        assert worker_pids() == [pid], "the worker was started anew"
    return _told(told, took_ms, memory_mb, swaps)


async def _end(asking: Process) -> Told:
    answer, _ = await asking.communicate(b"")  # which closes its stdin
    return Told(**json.loads(answer))


def _told(told: Told, took_ms: list[float], memory_mb: list[float], swaps: int) -> list[Figure]:
    settled = memory_mb[len(memory_mb) // 5 :]
    slope_mb = statistics.linear_regression(range(len(settled)), settled).slope * len(settled) if settled[1:] else 0.0
    return [
        Figure("swap, from the order to the answer", tuple(took_ms), "ms"),
        Figure("questions meanwhile", (told.asked,), "messages"),
        Figure("lost", (told.lost,), "messages", 0.0),
        Figure("repeated", (told.repeated,), "messages", 0.0),
        Figure("p99 meanwhile", (told.p99_ms,), "ms"),
        Figure("RSS", tuple(memory_mb), "MB"),
        Figure(f"RSS, growth over the last {swaps * 4 // 5} swaps", (slope_mb,), "MB", GOAL_MB),
    ]
