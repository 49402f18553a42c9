"""What the daemons cost when nothing happens: start-up time, resident memory, and processor time.

Memory is what ``ps`` shows as RSS; the broker is not in it. Each agent is looked at before its first task, and again
after some tasks, when nothing of them runs any more.
Run: ``python -m benchmarks.idle [--rounds 5] [--tasks 20] [--watch-s 30] [--json result.json]``
"""

import asyncio
import time
from functools import partial

import psutil

from benchmarks.figures import Figure, arguments, tell
from benchmarks.stage import EXECUTORS, stage
from benchmarks.watching import resident_mb, used_s
from schemas.runs import RunState
from tests.e2e.world import READINGS, TRAINING_IMAGE, Daemon, World, job, until

CONTROLLER_GOAL_MB, AGENT_GOAL_MB = 150.0, 80.0


async def processor_share(daemons: list[Daemon], watch_s: float) -> list[float]:
    """Per cent of one processor that each of them takes."""
    before = [used_s(daemon) for daemon in daemons]
    await asyncio.sleep(watch_s)
    return [(used_s(daemon) - start) / watch_s * 100 for daemon, start in zip(daemons, before, strict=True)]


async def start_times(rounds: int) -> tuple[Figure, Figure]:
    """From starting a process to an answered request, and to an edge that its controller sees online."""
    controller_s: list[float] = []
    agent_s: list[float] = []
    async with stage() as world:
        edge = await world.add_edge(report_every_s=10)
        for _ in range(rounds):
            started_s = time.perf_counter()
            await world.restart_controller()
            controller_s.append(time.perf_counter() - started_s)
            edge.kill()
            await world.until_online(online=False)
            started_s = time.perf_counter()
            edge.start()
            await world.until_online()
            agent_s.append(time.perf_counter() - started_s)
    return (
        Figure("controller: start to first answer", tuple(controller_s), "s"),
        Figure("agent: start to being online", tuple(agent_s), "s"),
    )


async def train(world: World, edge: str, tasks: int) -> None:
    """Have the edge do a few tasks."""
    await world.apply(READINGS, job(edge))
    for number in range(tasks):
        await world.publish(range(number * 10, number * 10 + 10))
        await world.until_state(await world.run_job(), RunState.SUCCEEDED)
    for daemon in (world.edges[edge], world.controller):  # which keeps those that check models for some seconds
        await until(partial(_alone, daemon.pid), "its processes to end")


def _alone(pid: int) -> bool | None:
    return not psutil.Process(pid).children() or None


async def memory(tasks: int, watch_s: float) -> list[Figure]:
    """Of the controller and of an agent with each executor."""
    figures = []
    async with stage() as world:
        for executor in EXECUTORS:
            edge = await world.add_edge(executor, executor=executor, image=TRAINING_IMAGE, report_every_s=10)
            figures.append(Figure(f"{executor} agent: idle", (resident_mb(edge),), "MB", AGENT_GOAL_MB))
        figures.insert(0, Figure("controller: idle", (resident_mb(world.controller),), "MB", CONTROLLER_GOAL_MB))
        daemons = {"controller": world.controller, **{f"{name} agent": edge for name, edge in world.edges.items()}}
        shares = await processor_share(list(daemons.values()), watch_s)
        figures += [
            Figure(f"{name}: processor, idle", (share,), "% of one")
            for name, share in zip(daemons, shares, strict=True)
        ]
        for edge_name in world.edges:
            await train(world, edge_name, tasks)
        goals = {"controller": CONTROLLER_GOAL_MB}
        figures += [
            Figure(
                f"{name}: after {tasks} tasks on each edge",
                (resident_mb(daemon),),
                "MB",
                goals.get(name, AGENT_GOAL_MB),
            )
            for name, daemon in daemons.items()
        ]
    return figures


async def measure(rounds: int, tasks: int, watch_s: float) -> list[Figure]:
    """Start-up first, then memory on a stage of its own."""
    return [*await start_times(rounds), *await memory(tasks, watch_s)]


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of starting")
    parser.add_argument("--tasks", type=int, default=20, help="on each edge")
    parser.add_argument("--watch-s", type=float, default=30.0, help="how long to watch the idle processors")
    options = parser.parse_args()
    tell("Idle", asyncio.run(measure(options.rounds, options.tasks, options.watch_s)), options.json)


if __name__ == "__main__":
    main()
