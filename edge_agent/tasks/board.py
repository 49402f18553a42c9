"""All tasks of this edge: found again at the start, then kept as the manifest wants them."""

import asyncio
import logging

from edge_agent.execution import task_folder
from edge_agent.execution.executor import TaskKey
from edge_agent.patience import until_reachable
from edge_agent.tasks.reconcile import AcceptTask, EndTask, RefuseTask, steps
from edge_agent.tasks.slots import Slots
from edge_agent.tasks.task_life import TaskLife
from edge_agent.tasks.task_machine import Step, Task, pending
from edge_agent.tasks.workshop import Workshop
from schemas.errors import TidemillError, Unreachable
from schemas.manifest import Manifest
from schemas.report import TaskState, TaskStatus

log = logging.getLogger(__name__)

LAST_GRACE_S = 2.0  # for scripts that end with the agent


class TaskBoard:
    """Starts, carries on and ends tasks, each in an asyncio task of its own inside ``group``."""

    def __init__(self, shop: Workshop, group: asyncio.TaskGroup, *, max_tasks: int) -> None:
        self._shop, self._group = shop, group
        self._slots = Slots(max_tasks)
        self._waiting = f"waits until another task has ended (max_tasks = {max_tasks})"
        self._lives: dict[TaskKey, TaskLife] = {}
        self._work: dict[TaskKey, asyncio.Task[None]] = {}
        self._ending: set[TaskKey] = set()

    def statuses(self) -> tuple[TaskStatus, ...]:
        """What the report says of each task held."""
        return tuple(life.status for life in self._lives.values())

    def adopt(self) -> None:
        """Go on with every task in the journal, and end those that the executor has and the journal does not."""
        for task in self._shop.journal.tasks():
            self._take(task)
        self._group.create_task(self._end_strangers(), name="strangers")

    def apply(self, manifest: Manifest) -> None:
        """Do what is missing between the manifest and the tasks held; call it again at any time."""
        highest = {run.run_id: self._shop.journal.fence(run.run_id) for run in manifest.runs}
        for step in steps(manifest, self._lives, highest):
            match step:
                case EndTask(key):
                    self._end(key)
                case AcceptTask(wanted):
                    log.info("task accepted", extra={"run": str(wanted.run_id), "attempt": wanted.attempt})
                    self._take(self._shop.journal.accept(wanted))
                    self._shop.on_change()
                case RefuseTask(wanted, passed):
                    fields = {"run": str(wanted.run_id), "attempt": wanted.attempt, "taken_before": passed}
                    log.warning("stale attempt refused", extra=fields)

    async def stop_with_agent(self) -> None:
        """Stop every running task because the agent ends; call it when nothing works on them any more."""
        async with asyncio.TaskGroup() as group:
            for life in self._lives.values():
                group.create_task(life.stop_with_agent(LAST_GRACE_S), name=f"last stop of task {life.task.key}")

    def _take(self, task: Task) -> None:
        life = self._lives[task.key] = TaskLife(task, self._shop)
        if task.state is TaskState.RUNNING:
            self._slots.take_now(task.key)
        if pending(task) is Step.END:
            self._end(task.key)
        else:
            self._work[task.key] = self._group.create_task(self._carry_on(life), name=f"task {task.key}")

    async def _carry_on(self, life: TaskLife) -> None:
        key = life.task.key
        if pending(life.task) is Step.PREPARE:
            if not self._slots.free:
                life.wait_for(self._waiting)
            await self._slots.take(key)
            life.wait_for("")
        await life.run()
        await self._slots.release(key)

    def _end(self, key: TaskKey) -> None:
        if key not in self._ending:
            self._ending.add(key)
            self._group.create_task(self._end_one(key), name=f"end of task {key}")

    async def _end_one(self, key: TaskKey) -> None:
        if (work := self._work.pop(key, None)) is not None:
            work.cancel()
            await asyncio.wait({work})
        await self._lives[key].end()
        await self._slots.release(key)
        del self._lives[key]
        self._ending.discard(key)
        self._shop.on_change()

    async def _end_strangers(self) -> None:
        """End what runs here unknown to the journal, as after the data folder was lost, and wipe what it left."""
        await until_reachable(self._try_to_end_strangers, _not_yet)

    async def _try_to_end_strangers(self) -> None:
        """Raises Unreachable when something is in the way: that must not end the agent and its pipelines."""
        executor = self._shop.executor
        try:
            for handle in await executor.all():
                if handle.key not in self._lives:
                    log.warning("unknown task ended", extra={"task": str(handle.key)})
                    await executor.stop(handle, grace_s=LAST_GRACE_S)
                    await executor.remove(handle)
            for key in task_folder.keys(self._shop.folders):
                if key not in self._lives:
                    await asyncio.to_thread(task_folder.wipe, task_folder.folder_of(self._shop.folders, key))
            await self._shop.secrets.remove_strangers(self._lives.keys())
        except (TidemillError, OSError) as error:
            raise Unreachable(f"unknown tasks cannot be ended: {error}") from error


def _not_yet(reason: str) -> None:
    log.warning("unknown tasks are looked for again", extra={"reason": reason})
