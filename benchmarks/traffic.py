"""How long a pipeline's answers and an edge's reports take while a large output leaves the same edge, and otherwise.

A pipeline is asked all the time. Now and then a run on its edge leaves a large additional output; what is asked between
the end of the run's script and the moment the controller holds everything counts as beside the transfer, what is asked
in the pauses between runs counts as quiet. What is asked while the script itself runs counts as neither.
Run: ``python -m benchmarks.traffic [--rounds 16] [--size-mb 50] [--quiet-s 2] [--json result.json]``
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

from benchmarks.figures import Figure, arguments, tell
from benchmarks.hearing import Heard, in_background, listening
from benchmarks.stage import stage
from schemas import topics
from schemas.report import PipelineState, Report
from schemas.runs import RunState
from tests.e2e.world import READINGS, World, job, until
from tests.onnx_graphs import times
from transport.mqtt import Link, connect

EDGE = "press-1"
ASK_TOPIC, ANSWER_TOPIC = "echo/ask", "echo/answer"
ASKS_PER_S = 100
REPORT_EVERY_S = 0.05
PIPELINE: tuple[dict[str, object], ...] = (
    {"kind": "Model", "name": "echo", "file": "echo.onnx"},
    {
        "kind": "Pipeline",
        "name": "echo",
        "nodes": [
            {"id": "in", "type": "mqtt_sub", "topic": ASK_TOPIC},
            {"id": "model", "type": "model", "model": "echo", "inputs": ["in"]},
            {"id": "out", "type": "mqtt_pub", "topic": ANSWER_TOPIC, "inputs": ["model"]},
        ],
    },
    {"kind": "Deployment", "name": "echo", "pipeline": "echo", "edges": [EDGE]},
)

Window = tuple[datetime, datetime]


@dataclass(slots=True)
class Trips:
    """When each message left, and how long it took."""

    asked: dict[int, datetime] = field(default_factory=dict)
    answers: list[tuple[datetime, float]] = field(default_factory=list)
    reports: list[tuple[datetime, float]] = field(default_factory=list)

    async def ask(self, link: Link) -> None:
        """Ask at a steady pace, each message with its own number."""
        clock = asyncio.get_running_loop().time
        first_s = clock()
        for number in count(1):
            await asyncio.sleep(first_s + number / ASKS_PER_S - clock())
            self.asked[number] = datetime.now(UTC)
            await link.publish(ASK_TOPIC, json.dumps([[number, number]]).encode())

    async def take_answers(self, link: Link) -> None:
        """The model gives back the number that it is given."""
        async for message in await link.subscribe(ANSWER_TOPIC):
            asked = self.asked.pop(int(json.loads(message.payload)[0][0]), None)
            if asked is not None:
                self.answers.append((asked, _ms_since(asked)))

    async def take_reports(self, link: Link) -> None:
        """Reports say themselves when they were made."""
        async for message in await link.subscribe(topics.REPORT.to(edge=EDGE)):
            report = Report.model_validate_json(message.payload)
            self.reports.append((report.sent_at, _ms_since(report.sent_at)))


def _ms_since(moment: datetime) -> float:
    return (datetime.now(UTC) - moment) / timedelta(milliseconds=1)


@asynccontextmanager
async def asking(world: World) -> AsyncIterator[Trips]:
    """Ask the pipeline and take reports for the length of the block."""
    trips = Trips()
    async with AsyncExitStack() as stack:
        device = await stack.enter_async_context(connect(world.broker.address, "bench-device"))
        hearer = await stack.enter_async_context(connect(world.broker.address, "bench-hearer"))
        await stack.enter_async_context(
            in_background(trips.take_answers(hearer), trips.take_reports(hearer), trips.ask(device))
        )
        await until(lambda: len(trips.answers) > ASKS_PER_S or None, "the first answers")
        yield trips


async def transfer(world: World, heard: Heard) -> Window:
    """One run; when its outputs travelled."""
    run_id = await world.run_job()
    await until(lambda: "exited" in heard.moments.get(run_id, {}) or None, "the script to end")
    await world.until_state(run_id, RunState.CHECKING, RunState.SUCCEEDED)
    held_at = datetime.now(UTC)
    await world.until_state(run_id, RunState.SUCCEEDED)
    return heard.moments[run_id]["exited"], held_at


async def measure(rounds: int, size_mb: int, quiet_s: float) -> list[Figure]:
    """Quiet time and transfers in turns, so that whatever else the machine does hits both."""
    quiet: list[Window] = []
    beside: list[Window] = []
    async with stage() as world:
        await world.add_edge(EDGE, report_every_s=REPORT_EVERY_S)
        times(world.folder / "echo.onnx", 1.0)
        await world.apply(READINGS, job(EDGE, {"megabytes": size_mb}), *PIPELINE)
        await until(lambda: _listens(world), "the pipeline")
        async with listening(world) as heard, asking(world) as trips:
            for number in range(rounds):
                await world.publish(range(number, number + 1))
                start = datetime.now(UTC)
                await asyncio.sleep(quiet_s)
                quiet.append((start, datetime.now(UTC)))
                beside.append(await transfer(world, heard))
    took = Figure("transfer", tuple((end - start).total_seconds() for start, end in beside), "s")
    return [took, *_compare("answer", trips.answers, quiet, beside), *_compare("report", trips.reports, quiet, beside)]


def _compare(name: str, trips: list[tuple[datetime, float]], quiet: list[Window], beside: list[Window]) -> list[Figure]:
    return [
        Figure(f"{name}, {when}", tuple(ms for at, ms in trips if any(a <= at <= b for a, b in windows)), "ms")
        for when, windows in (("quiet", quiet), ("beside the transfer", beside))
    ]


def _listens(world: World) -> bool | None:
    status = world.client.pipeline("echo").edges.get(EDGE)
    return (status is not None and status.state is PipelineState.LISTENING) or None


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=16)
    parser.add_argument("--size-mb", type=int, default=50)
    parser.add_argument("--quiet-s", type=float, default=2.0, help="before each transfer")
    options = parser.parse_args()
    figures = asyncio.run(measure(options.rounds, options.size_mb, options.quiet_s))
    tell(f"Messages beside a transfer of {options.size_mb} MB", figures, options.json)


if __name__ == "__main__":
    main()
