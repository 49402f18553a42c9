"""How long a run takes beyond its script: from the moment its job was due to its registered version.

Cold means that the environment is made, with numpy as its one requirement; cached, that it is there. One round is one
firing of the job's schedule with ten new rows. The phases come from the messages themselves and from the run.
Run: ``python -m benchmarks.run_overhead [--executor docker] [--cached 7] [--cold 3] [--json result.json]``
"""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from benchmarks.figures import Figure, arguments, tell
from benchmarks.hearing import Heard, listening
from benchmarks.stage import EXECUTORS, stage
from schemas.runs import LIVE, RunState
from schemas.views import RunView
from tests.e2e.world import READINGS, TRAINING_IMAGE, World, job, until

GOAL_S = {"process": 2.0, "docker": 4.0}  # with a cached environment
ROWS = 10
NOTICE_S = 1.0  # between applying a job and the time at which it is due
REQUIREMENTS = "numpy==2.4.6\n"
COLD_TIMEOUT_S = 300.0
PHASES = {
    "tick": "due → queued",
    "query, dispatch": "queued → manifest signed",
    "accept": "manifest signed → in the edge's journal",
    "prepare": "in the journal → scripts started",
    "start, collect": "scripts started → outputs kept, less the scripts' own time",
    "upload": "outputs kept → all held by the controller",
    "check, register": "all held → version",
}


async def fire(world: World, heard: Heard, first_row: int, requirements: str) -> dict[str, float]:
    """Let the schedule fire the job once; seconds beyond the script by phase, and in all."""
    await world.publish(range(first_row, first_row + ROWS))
    (world.folder / "requirements.txt").write_text(requirements)
    earlier = await asyncio.to_thread(lambda: world.client.runs(limit=1))
    due = (datetime.now(UTC) + timedelta(seconds=NOTICE_S)).isoformat()
    await world.apply(job(schedule={"at": due}, requirements="requirements.txt"))

    def queued() -> RunView | None:
        newest = world.client.runs(limit=1)
        return newest[0] if newest != earlier else None

    run = await until(queued, "the schedule to fire")
    await until(lambda: "exited" in heard.moments.get(run.id, {}) or None, "the script", timeout_s=COLD_TIMEOUT_S)
    after = [RunState.CHECKING, *(state for state in RunState if state not in LIVE)]
    await world.until_state(run.id, *after)
    heard.note(run.id, "held", datetime.now(UTC))
    run = await world.until_ended(run.id)
    assert run.state is RunState.SUCCEEDED, run.reason
    return phases(run, heard.moments[run.id])


def phases(run: RunView, at: dict[str, datetime]) -> dict[str, float]:
    """Seconds by phase; their sum is the time beyond the script."""
    assert run.ended_at is not None
    assert run.script_s is not None
    moments = [
        run.scheduled_at,
        run.created_at,
        *(at[step] for step in ("signed", "accepted", "started", "exited")),
        min(at["held"], run.ended_at),  # looked for fifty times a second
        run.ended_at,
    ]
    spans = [(end - start).total_seconds() for start, end in pairwise(moments)]
    took = dict(zip(PHASES, spans, strict=True))
    took["start, collect"] -= run.script_s
    return took | {"in all": sum(took.values()), "script": run.script_s}


async def measure(executor: str, cold: int, cached: int) -> list[Figure]:
    """Cold rounds first: each has requirements that differ in a comment, and so an environment of its own."""
    async with stage() as world, listening(world) as heard:
        await world.add_edge(executor=executor, image=TRAINING_IMAGE)
        await world.apply(READINGS)
        kinds = ["cold"] * cold + ["cached"] * cached
        rounds: dict[str, list[dict[str, float]]] = {"cold": [], "cached": []}
        for number, kind in enumerate(kinds):
            environment = min(number, cold - 1)
            took = await fire(world, heard, number * ROWS, f"{REQUIREMENTS}# {environment}\n")
            rounds[kind].append(took)
    goals = {("cached", "in all"): GOAL_S[executor]}
    return [
        Figure(f"{kind}: {name}", tuple(took[name] for took in rounds[kind]), "s", goals.get((kind, name)))
        for kind in rounds
        for name in ("in all", *PHASES, "script")
    ]


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--executor", choices=EXECUTORS, default="process")
    parser.add_argument("--cold", type=int, default=3, help="rounds, at least 1")
    parser.add_argument("--cached", type=int, default=7)
    options = parser.parse_args()
    figures = asyncio.run(measure(options.executor, options.cold, options.cached))
    tell(f"A run beyond its script, {options.executor} executor", figures, options.json)


if __name__ == "__main__":
    main()
