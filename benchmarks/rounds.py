"""Many rounds of retraining, gate and deployment in a row, under live traffic on three edges.

Told are the messages that were not answered by every edge just once, how memory and disk grow, and what a round takes.
Run: ``python -m benchmarks.rounds [--rounds 100] [--per-s 50] [--json result.json]``.
"""

import asyncio
import json
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figures import Figure, arguments, tell
from benchmarks.stage import stage
from benchmarks.watching import resident_mb
from schemas.rollouts import EdgeState
from schemas.runs import RunState
from tests.e2e.world import READINGS, World, job, until
from transport.mqtt import Link, Subscription

EDGES = ("press-1", "press-2", "press-3")
WARM_UP = 20  # rounds that fill caches: memory is looked at after them
GOAL_MB = 10.0  # in a hundred rounds
SCORING: dict[str, object] = {
    "kind": "Pipeline",
    "name": "scoring",
    "nodes": [
        {"id": "in", "type": "mqtt_sub", "topic": "plant/ask"},
        {"id": "predict", "type": "model", "model": "tiny", "features": ["a", "b"], "inputs": ["in"]},
        {"id": "pair", "type": "library", "library": "pipelib_pair", "inputs": ["in", "predict"]},
        {"id": "out", "type": "mqtt_pub", "topic": "plant/answer", "inputs": ["pair"]},
    ],
}
PAIR = "def exec(given):\n    return [given['in']['id'], given['predict'][0][0]]\n"


@dataclass(slots=True)
class Traffic:
    """Numbered questions at a steady pace, and how often each was answered."""

    asked: int = 0
    answered: Counter[int] = field(default_factory=Counter)

    @asynccontextmanager
    async def flowing(self, link: Link, per_s: float) -> AsyncIterator[None]:
        """Ask for the length of the block, then wait for what is open, or until nothing comes any more."""
        answers = await link.subscribe("plant/answer", qos=1)
        tasks = [
            asyncio.create_task(self._ask(link, per_s), name="ask"),
            asyncio.create_task(self._hear(answers), name="hear"),
        ]
        try:
            yield
            tasks[0].cancel()
            await self._until_still()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, link: Link, per_s: float) -> None:
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            number, self.asked = self.asked, self.asked + 1
            await asyncio.shield(link.publish("plant/ask", json.dumps({"id": number, "a": 1.0, "b": 2.0}).encode()))
            due += 1 / per_s
            await asyncio.sleep(max(0.0, due - clock()))

    async def _hear(self, answers: Subscription) -> None:
        async for message in answers:
            self.answered[json.loads(message.payload)[0]] += 1

    async def _until_still(self) -> None:
        before = -1
        while self.answered.total() not in {before, self.asked * len(EDGES)}:
            before = self.answered.total()
            await asyncio.sleep(3.0)


@dataclass(slots=True)
class Seen:
    """What was seen after each round."""

    seconds: list[float] = field(default_factory=list)
    memory: dict[str, list[float]] = field(default_factory=dict)
    disk: dict[str, list[float]] = field(default_factory=dict)

    def look(self, world: World) -> None:
        """Memory and disk of every daemon."""
        for name, daemon in {"controller": world.controller, **world.edges}.items():
            self.memory.setdefault(name, []).append(resident_mb(daemon))
        folders = {"controller": world.folder / "tidemill-data", "an edge": world.folder / "press-1-data"}
        for name, folder in folders.items():
            self.disk.setdefault(name, []).append(_size_mb(folder))


def slope(values: Sequence[float]) -> float:
    """By how much they grow in a hundred steps: a line through them all (least squares)."""
    return statistics.linear_regression(range(len(values)), values).slope * 100


async def measure(rounds: int, per_s: float) -> list[Figure]:
    """Do the rounds, one after the other."""
    async with stage() as world:
        await prepare(world)
        traffic, seen = Traffic(), Seen()
        async with world.device() as link, traffic.flowing(link, per_s):
            for number in range(rounds):
                with _timed(seen):
                    await one_round(world, number)
                seen.look(world)
        versions = [version.version for version in world.client.model("tiny").versions]
        short = sum(traffic.answered[number] < len(EDGES) for number in range(traffic.asked))
        over = sum(count > len(EDGES) for count in traffic.answered.values())
    warm = min(WARM_UP, rounds // 2)
    return [
        Figure("a round: retrained, judged, on three edges", tuple(seen.seconds), "s"),
        Figure("messages, each answered by three edges", (traffic.asked,), ""),
        Figure("messages without an answer of each edge", (short,), "", 0),
        Figure("messages with an answer too many", (over,), "", 0),
        *(
            Figure(f"{name}: memory, growth in 100 rounds", (slope(values[warm:]),), "MB", GOAL_MB)
            for name, values in seen.memory.items()
        ),
        *(Figure(f"{name}: memory at the end", (values[-1],), "MB") for name, values in seen.memory.items()),
        *(
            Figure(f"{name}: disk, growth in 100 rounds", (slope(values[warm:]),), "MB")
            for name, values in seen.disk.items()
        ),
        Figure("versions kept", (len(versions),), ""),
    ]


async def prepare(world: World) -> None:
    """Three edges of a hall on which the first version answers."""
    for name in EDGES:
        await world.add_edge(name, labels={"hall": "2"}, max_tasks=1)
    (world.folder / "pair.py").write_text(PAIR)
    await world.apply(
        READINGS,
        job(keep={"versions": 3, "runs": 5}, gate={"metric": "accuracy", "tolerance": 1.0}),
        {"kind": "Library", "name": "pipelib_pair", "file": "pair.py"},
        SCORING,
        {"kind": "Deployment", "name": "here", "labels": {"hall": "2"}, "pipeline": "scoring"},
    )
    await one_round(world, -1)


async def one_round(world: World, number: int) -> None:
    """New rows, a run, its version judged and promoted, and answering on every edge."""
    await world.publish([number], topic="plant/b/readings")
    run = await world.until_state(await world.run_job(), RunState.SUCCEEDED)

    def everywhere() -> bool | None:
        edges = world.client.deployment("here").edges.values()
        there = [edge.state is EdgeState.DEPLOYED and edge.models == {"tiny": run.version} for edge in edges]
        return True if len(there) == len(EDGES) and all(there) else None

    await until(everywhere, f"version {run.version} to answer everywhere")


@contextmanager
def _timed(seen: Seen) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seen.seconds.append(time.perf_counter() - began)


def _size_mb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--per-s", type=float, default=50.0, help="questions a second")
    options = parser.parse_args()
    figures = asyncio.run(measure(options.rounds, options.per_s))
    tell(f"{options.rounds} rounds of retraining and deployment", figures, options.json)


if __name__ == "__main__":
    main()
