"""Making ready everything that a task's scripts need before they can start."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from edge_agent.execution import task_folder
from edge_agent.execution.edge_folders import allowed_folder
from edge_agent.execution.executor import Environment, TaskRequest
from edge_agent.patience import to_its_end, until_reachable
from edge_agent.tasks.task_machine import Task
from edge_agent.tasks.workshop import Workshop
from schemas.runs import Started, Usage


@dataclass(frozen=True, slots=True)
class Prepared:
    """What an executor needs to start a task."""

    request: TaskRequest
    environment: Environment
    usage: Usage


async def prepare(shop: Workshop, task: Task, note: Callable[[str], None]) -> Prepared:
    """Fetch spec and inputs, lay out the folder, have the environment. Doing it again starts from a clean folder.

    Raises:
        TidemillError: something cannot be had, and trying again would not mend it; the message is the run's reason.
        OSError: the disk does not take it.
    """
    spec = await shop.inputs.spec(task.key, task.spec, note)
    edge_folder = None
    if spec.edge_folder is not None:
        edge_folder = await asyncio.to_thread(allowed_folder, spec.edge_folder, shop.edge_folders)
    usage = await shop.inputs.fetch(spec, note)
    laying_out = partial(task_folder.create, reserve_bytes=shop.reserve_bytes)
    request = await to_its_end(asyncio.to_thread(laying_out, shop.folders, task.key, spec, shop.blobs))
    request = replace(request, edge_folder=edge_folder)
    note("making the environment ready")
    environment = await until_reachable(lambda: shop.executor.prepare(request, note), note)
    # Last, so that values lie about for no longer than the scripts that need them.
    return Prepared(await shop.secrets.lay_out(request, spec, task.secrets, note), environment, usage)


def started(executor: str, environment: Environment) -> Started:
    """What is told of the start."""
    return Started(
        executor=executor,
        image=environment.image,
        image_digest=environment.image_digest,
        environment=environment.key,
        environment_cached=environment.cached,
        installer=environment.installer,
    )
