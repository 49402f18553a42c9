"""How late ten thousand jobs are on one controller, and what they cost while none is due.

The jobs have no new rows, so each tick ends as a skipped run and only the scheduling is measured: eight tenths are due
every ten minutes, each at its own moment; one tenth by cron, as many in each minute; one tenth by cron all at the same
moment. Lateness is from the tick to the moment at which the transaction that queues its run has begun to write.
Run: ``python -m benchmarks.scheduling [--jobs 10000] [--watch-s 300] [--idle-s 60] [--json result.json]``
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from benchmarks.figures import Figure, arguments, tell
from benchmarks.stage import stage
from benchmarks.watching import ask, processor_of, resident_mb
from controller.schedule import fires
from schemas.fleet import Fleet, JobDocument
from schemas.names import FileRef
from schemas.queries import Query
from schemas.schedules import Schedule
from tests.e2e.world import READINGS, World

GOAL_LATE_S, GOAL_IDLE = 1.0, 5.0
EDGE = "press-1"
PERIOD = timedelta(minutes=10)
PER_APPLY = 500
NOT_NOW = datetime(2100, 1, 1, tzinfo=UTC)
REST_S = 10.0  # after applying, before idleness is measured
BURST_AFTER_S = 90.0  # from the start of watching, then on the next full minute

Ticks = Counter[tuple[str, datetime]]


def schedules(jobs: int, start: datetime, burst: datetime) -> Iterator[tuple[str, Schedule]]:
    """Each job's name and when it is due."""
    for number in range(jobs):
        kind = "burst" if number % 10 == 9 else "cron" if number % 10 == 8 else "every"
        cron = f"{burst.minute} {burst.hour} * * *" if kind == "burst" else f"{number // 10 % 10}-59/10 * * * *"
        if kind == "every":
            schedule = Schedule(every=PERIOD.total_seconds(), start=start + PERIOD * number / jobs)
        else:
            schedule = Schedule(cron=cron, start=start)
        yield f"{kind}-{number}", schedule


async def apply_all(world: World, script: FileRef, wanted: Iterable[tuple[str, Schedule]]) -> float:
    """Apply a job for each schedule; how many seconds that took."""
    query = Query(query="SELECT id, value FROM readings", new_data_only=True, collection="readings")
    documents = (
        JobDocument(
            kind="Job", name=name, model=name, edge=EDGE, scripts=(script,), queries=(query,), schedule=schedule
        )
        for name, schedule in wanted
    )
    started_s = time.perf_counter()
    while batch := tuple(islice(documents, PER_APPLY)):
        await asyncio.to_thread(world.client.apply, Fleet(documents=batch))
    return time.perf_counter() - started_s


def expected(wanted: Iterable[tuple[str, Schedule]], first: datetime, last: datetime) -> Ticks:
    """Every tick of every job that is due between two moments."""
    return Counter(
        (name, tick) for name, schedule in wanted for tick in fires(schedule, anchor=first, first=first, upto=last)
    )


def recorded(database: Path, first: datetime, last: datetime) -> tuple[Ticks, dict[str, list[float]]]:
    """The ticks between two moments of which there are runs, and how late each was in seconds, by kind of job."""
    ticks: Ticks = Counter()
    late_s: dict[str, list[float]] = {}
    for job, scheduled, created in ask(database, "SELECT job, scheduled_at, created_at FROM runs"):
        tick, made = (datetime.fromisoformat(str(text)).replace(tzinfo=UTC) for text in (scheduled, created))
        if first <= tick <= last:
            ticks[str(job), tick] += 1
            late_s.setdefault(str(job).split("-")[0], []).append((made - tick).total_seconds())
    return ticks, late_s


async def measure(jobs: int, watch_s: float, idle_s: float) -> list[Figure]:
    """Idle first, with jobs that are due long after; then the same jobs with their real schedules."""
    async with stage() as world:
        await world.add_edge(EDGE, start=False)
        await world.apply(READINGS)
        (world.folder / "train.py").write_text("")
        script = FileRef(path="train.py", blob=world.client.upload(world.folder / "train.py"))
        before_mb = resident_mb(world.controller)
        new_s = await apply_all(world, script, schedules(jobs, NOT_NOW, NOT_NOW))
        await asyncio.sleep(REST_S)
        with processor_of(world.controller) as idle:
            await asyncio.sleep(idle_s)
        idle_mb = resident_mb(world.controller)

        start = datetime.now(UTC).replace(microsecond=0)
        burst = start + timedelta(seconds=new_s * 1.5 + BURST_AFTER_S)
        wanted = list(schedules(jobs, start, burst.replace(second=0) + timedelta(minutes=1)))
        changed_s = await apply_all(world, script, wanted)
        first = datetime.now(UTC)
        with processor_of(world.controller) as busy:
            await asyncio.sleep(watch_s)
        last = datetime.now(UTC) - timedelta(seconds=10)
        busy_mb = resident_mb(world.controller)
        ticks, late_s = recorded(world.folder / "tidemill-data" / "control.db", first, last)
        due = expected(wanted, first, last)
    every = [late for kind in late_s.values() for late in kind]
    return [
        Figure("applying new jobs", (new_s,), "s"),
        Figure("applying the same with new schedules", (changed_s,), "s"),
        Figure("processor, none due", (idle.percent,), "% of one", GOAL_IDLE),
        Figure("memory, no jobs", (before_mb,), "MB"),
        Figure("memory, none due", (idle_mb,), "MB"),
        Figure("memory, after ticks", (busy_mb,), "MB"),
        Figure("ticks due", (sum(due.values()),), ""),
        Figure("ticks lost", (sum((due - ticks).values()),), "", 0),
        Figure("ticks too many", (sum((ticks - due).values()),), "", 0),
        Figure("processor, jobs due", (busy.percent,), "% of one"),
        Figure("lateness, all", tuple(every), "s", GOAL_LATE_S),
        *(Figure(f"lateness, {kind}", tuple(late), "s", GOAL_LATE_S) for kind, late in sorted(late_s.items())),
    ]


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--watch-s", type=float, default=300.0)
    parser.add_argument("--idle-s", type=float, default=60.0)
    options = parser.parse_args()
    figures = asyncio.run(measure(options.jobs, options.watch_s, options.idle_s))
    tell(f"{options.jobs:,} jobs on one controller", figures, options.json)


if __name__ == "__main__":
    main()
