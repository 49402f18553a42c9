"""What many pipelines on one edge take of its memory: each is a process, and they share what they have not changed."""

import asyncio
from pathlib import Path

import psutil

from benchmarks.engine.asking import broker
from benchmarks.engine.load import Asker
from benchmarks.engine.networks import scorer
from benchmarks.engine.serving import ready, worker_pids
from benchmarks.engine.work import Place
from benchmarks.figures import Figure
from edge_agent.shelf.ready import ReadyPipeline
from schemas.broker import BrokerAddress
from tests.integration.pipeline_desk import Desk, desk

GOAL_MB = 45.0
AT_ONCE = 5  # are started
QUESTIONS = 200  # to each, before its memory is looked at


def measure(pipelines: int) -> list[Figure]:
    """All with four nodes, of the same library and model."""
    with broker() as (port, folder):
        return asyncio.run(_measure([Place(port, f"p{number}", 1) for number in range(pipelines)], folder))


async def _measure(places: list[Place], folder: Path) -> list[Figure]:
    async with desk(BrokerAddress(url=f"mqtt://127.0.0.1:{places[0].port}")) as table:
        await _start(table, places, folder)
        await asyncio.to_thread(_ask_each, places)
        found = [psutil.Process(pid).memory_full_info() for pid in worker_pids()]
    assert len(found) == len(places)
    shared = tuple(each.pss / 1e6 for each in found)
    return [
        Figure(f"{len(places)} pipelines: RSS of each", tuple(each.rss / 1e6 for each in found), "MB"),
        Figure(f"{len(places)} pipelines: PSS of each", shared, "MB", GOAL_MB),
        Figure(f"{len(places)} pipelines: of its own alone", tuple(each.uss / 1e6 for each in found), "MB"),
        Figure(f"{len(places)} pipelines: PSS in all", (sum(shared),), "MB"),
    ]


async def _start(table: Desk, places: list[Place], folder: Path) -> None:
    """A few at a time: a machine with few processors starts no more in the time that a desk waits."""
    model = scorer(folder / "scorer.onnx")
    wanted: dict[str, ReadyPipeline] = {}
    for at in range(0, len(places), AT_ONCE):
        wanted |= {place.name: ready(place, model, folder) for place in places[at : at + AT_ONCE]}
        table.supervisor.apply(wanted)
        for place in places[at : at + AT_ONCE]:
            await table.serving(name=place.name)


def _ask_each(places: list[Place]) -> None:
    for place in places:
        asker = Asker(place)
        asker.wait_for_the_subject()
        asker.ask(QUESTIONS)
        asker.wait_for_the_rest()
        asker.wire.close()
