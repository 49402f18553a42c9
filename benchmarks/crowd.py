"""What one controller does for a crowd of edges: a thousand of them, each with a run a minute.

The edges are simulated (tests/fakes.py) in a few processes of their own, over a real broker: each pulls its task and
its rows, tells what happens, sends a log line, and serves a model that no other run has. Every run of the time is
looked at: whether it was queued in time, taken in time, and ended as one version.
Run: ``python -m benchmarks.crowd [--edges 1000] [--period-s 60] [--watch-s 180] [--json result.json]``
"""

import asyncio
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from uuid import UUID

from benchmarks.figures import Figure, arguments, tell
from benchmarks.stage import stage
from benchmarks.watching import ask, processor_of, resident_mb, size_mb
from schemas.broker import BrokerAddress
from schemas.fleet import Fleet, JobDocument
from schemas.names import FileRef
from schemas.queries import Query
from schemas.runs import LIVE, RunState
from schemas.schedules import Schedule
from tests.e2e.world import READINGS, World, until
from tests.fakes import Manner, SimulatedEdge

GOAL_LATE_S = 1.0
PER_PROCESS = 250  # a process can wait for so many connections
PER_APPLY = 500
REPORT_EVERY_S = 30.0
TASK_S = 5.0
ROWS = 10
SETTLE_S = 30.0  # from the first runs to those that count
DRAIN_TIMEOUT_S = 300.0


async def simulate(url: str, public_key: str, folder: Path, first: int, count: int) -> None:
    """Be some of the edges; prints run, when its manifest was made and when it was taken, of each task."""

    def on_accepted(run: UUID, signed_at: datetime) -> None:
        print(run, signed_at.isoformat(), datetime.now(UTC).isoformat(), flush=True)

    manner = Manner(task_s=TASK_S, report_every_s=REPORT_EVERY_S, on_accepted=on_accepted)
    async with AsyncExitStack() as stack:
        for number in range(first, first + count):
            name = f"edge-{number}"
            await stack.enter_async_context(
                SimulatedEdge.running(name, BrokerAddress(url=url), public_key, folder / name, manner)
            )
        await asyncio.Event().wait()


@contextmanager
def crowd(world: World, edges: int, public_key: str) -> Iterator[list[Path]]:
    """The edges, for the length of the block; what they print goes to these files."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own in memory: their disks are not what is measured
    children: list[subprocess.Popen[bytes]] = []
    printed: list[Path] = []
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        try:
            for first in range(0, edges, PER_PROCESS):
                printed.append(world.folder / f"crowd-{first}.txt")
                count = str(min(PER_PROCESS, edges - first))
                command = [world.broker.address.url, public_key, folder, str(first), count]
                with printed[-1].open("wb") as file:
                    child = [sys.executable, "-m", "benchmarks.crowd", "--simulate", *command]
                    children.append(subprocess.Popen(child, stdout=file))
            yield printed
        finally:
            for process in children:
                process.kill()
                process.wait(10)


async def enrol(world: World, edges: int) -> str:
    """Enrol every edge; gives the controller's public key."""
    enrolled = [await asyncio.to_thread(world.client.add_edge, f"edge-{number}", {}) for number in range(edges)]
    public_key: str = tomllib.loads(enrolled[0].agent_config)["controller_public_key"]
    return public_key


async def apply_jobs(world: World, edges: int, period_s: float, *, paused: bool) -> None:
    """A job for each edge, each due at its own moment of the period."""
    script = FileRef(path="train.py", blob=world.client.upload(world.folder / "train.py"))
    start = datetime(2026, 1, 1, tzinfo=UTC)
    documents = (
        JobDocument(
            kind="Job",
            name=f"train-{number}",
            model=f"model-{number}",
            edge=f"edge-{number}",
            scripts=(script,),
            queries=(Query(query="SELECT id, value FROM readings"),),
            schedule=Schedule(every=period_s, start=start + timedelta(seconds=period_s * number / edges)),
            paused=paused,
        )
        for number in range(edges)
    )
    while batch := tuple(islice(documents, PER_APPLY)):
        await asyncio.to_thread(world.client.apply, Fleet(documents=batch))


async def measure(edges: int, period_s: float, watch_s: float) -> list[Figure]:
    """Let the crowd work, watch it for a while, let the last runs end, and look at all of them."""
    async with stage() as world:
        database = world.folder / "tidemill-data" / "control.db"
        await world.apply(READINGS)
        await world.publish(range(ROWS))
        (world.folder / "train.py").write_text("")
        with crowd(world, edges, await enrol(world, edges)) as printed:
            await until(lambda: _online(database) == edges or None, "all edges to be online", timeout_s=300)
            await apply_jobs(world, edges, period_s, paused=False)
            await asyncio.sleep(SETTLE_S)
            first, first_mb, first_runs = datetime.now(UTC), size_mb(database), _count(database)
            with processor_of(world.controller) as share:
                await asyncio.sleep(watch_s)
            last, last_mb, last_runs = datetime.now(UTC), size_mb(database), _count(database)
            resident = resident_mb(world.controller, children=False), resident_mb(world.controller)
            await apply_jobs(world, edges, period_s, paused=True)
            drained = datetime.now(UTC)
            await until(lambda: not _live(database) or None, "the last runs to end", timeout_s=DRAIN_TIMEOUT_S)
            drain_s = (datetime.now(UTC) - drained).total_seconds()
        growth_kb = (last_mb - first_mb) * 1000 / max(1, last_runs - first_runs)
        due = int(watch_s / period_s * edges)
        return [
            Figure("runs due in this time", (due,), ""),
            *judge(database, first, last),
            *latencies(database, printed, first, last),
            Figure("until the last run had ended", (drain_s,), "s"),
            Figure("controller: processor", (share.percent,), "% of one"),
            Figure("controller: memory", (resident[0],), "MB"),
            Figure("controller: memory, with model checks", (resident[1],), "MB"),
            Figure("control database, per run", (growth_kb,), "kB"),
            Figure("control database, per hour", (growth_kb * edges * 3600 / period_s / 1000,), "MB"),
        ]


def judge(database: Path, first: datetime, last: datetime) -> list[Figure]:
    """How many runs there were in the time, and how many of all did not end as exactly one version."""
    states: Counter[str] = Counter(str(state) for (state,) in ask(database, "SELECT state FROM runs"))
    within = "SELECT count(*) FROM runs WHERE scheduled_at BETWEEN ? AND ?"
    ((queued,),) = ask(database, within, _stored(first), _stored(last))
    ((versions, made_by),) = ask(database, "SELECT count(*), count(DISTINCT run_id) FROM model_versions")
    ((again,),) = ask(database, "SELECT count(*) FROM runs WHERE attempt > 1")
    succeeded = states.pop(RunState.SUCCEEDED, 0)
    print("other ends:", dict(states) or "none")
    return [
        Figure("runs queued in this time", (float(str(queued)),), ""),
        Figure("runs in all", (float(succeeded + states.total()),), ""),
        Figure("runs that did not succeed", (float(states.total()),), "", 0),
        Figure("second attempts", (float(str(again)),), "", 0),
        Figure("successes without a version of their own", (float(succeeded - int(str(made_by))),), "", 0),
        Figure("versions too many", (float(int(str(versions)) - int(str(made_by))),), "", 0),
    ]


def latencies(database: Path, printed: list[Path], first: datetime, last: datetime) -> list[Figure]:
    """How long things took of the runs that were due in the time, in seconds."""
    taken: dict[str, tuple[datetime, datetime]] = {}
    for line in "".join(file.read_text() for file in printed).splitlines():
        run_id, *told = line.split()
        signed, accepted = map(datetime.fromisoformat, told)
        taken[UUID(run_id).hex] = signed, accepted
    late: dict[str, list[float]] = {
        "tick → queued": [],
        "tick → manifest signed": [],
        "manifest signed → in the edge's journal": [],
        "tick → version, less the task": [],
    }
    wanted = "SELECT id, scheduled_at, created_at, ended_at FROM runs WHERE state = ? AND scheduled_at BETWEEN ? AND ?"
    for run, *moments in ask(database, wanted, RunState.SUCCEEDED, _stored(first), _stored(last)):
        scheduled, created, ended = (datetime.fromisoformat(str(text)).replace(tzinfo=UTC) for text in moments)
        signed, accepted = taken[str(run)]
        spans = created - scheduled, signed - scheduled, accepted - signed, ended - scheduled
        for name, span in zip(late, spans, strict=True):
            late[name].append(span.total_seconds())
    late["tick → version, less the task"] = [took - TASK_S for took in late["tick → version, less the task"]]
    goals = {"tick → queued": GOAL_LATE_S, "manifest signed → in the edge's journal": GOAL_LATE_S}
    return [Figure(name, tuple(values), "s", goals.get(name)) for name, values in late.items() if values]


def _stored(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(" ")


def _online(database: Path) -> int:
    ((count,),) = ask(database, "SELECT count(*) FROM edges WHERE online AND report IS NOT NULL")
    return int(str(count))


def _count(database: Path) -> int:
    ((count,),) = ask(database, "SELECT count(*) FROM runs")
    return int(str(count))


def _live(database: Path) -> int:
    places = ", ".join("?" * len(LIVE))
    ((count,),) = ask(database, f"SELECT count(*) FROM runs WHERE state IN ({places})", *LIVE)  # noqa: S608 - question marks
    return int(str(count))


def main() -> None:
    """Measure and print, or be some of the edges."""
    parser = arguments(__doc__)
    parser.add_argument("--edges", type=int, default=1000)
    parser.add_argument("--period-s", type=float, default=60.0, help="between two runs of an edge")
    parser.add_argument("--watch-s", type=float, default=180.0)
    parser.add_argument("--simulate", nargs=5, help="be some of the edges")
    options = parser.parse_args()
    if options.simulate:
        url, public_key, folder, first, count = options.simulate
        asyncio.run(simulate(url, public_key, Path(folder), int(first), int(count)))
        return
    figures = asyncio.run(measure(options.edges, options.period_s, options.watch_s))
    tell(f"{options.edges:,} edges, each with a run every {options.period_s:g} s", figures, options.json)


if __name__ == "__main__":
    main()
