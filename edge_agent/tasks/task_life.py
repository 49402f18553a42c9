"""Carrying one task on from where the journal says it is; each step is saved before the next begins."""

import asyncio
import logging
import time
from contextlib import suppress
from datetime import UTC, datetime

from edge_agent.execution import task_folder
from edge_agent.execution.executor import TaskHandle
from edge_agent.patience import to_its_end, until_reachable
from edge_agent.tasks.log_shipping import shipped_output
from edge_agent.tasks.outcomes import VANISHED
from edge_agent.tasks.preparation import prepare, started
from edge_agent.tasks.task_end import STOP_GRACE_S, gather, result_in_time, with_energy
from edge_agent.tasks.task_machine import (
    Condemned,
    Ended,
    Launched,
    Launching,
    Noted,
    Step,
    Task,
    TaskEvent,
    Unwanted,
    advance,
    pending,
)
from edge_agent.tasks.workshop import Workshop
from schemas.errors import OutOfDisk, TidemillError, Unreachable
from schemas.report import TaskState, TaskStatus
from schemas.runs import Exited, Outcome

log = logging.getLogger(__name__)

NOTE_LENGTH = 500
NOTE_EVERY_S = 1.0  # an installer's lines come faster
REASON_LENGTH = 4000  # characters; an installer's last lines fit


class TaskLife:
    """One task. Cancelling ``run`` leaves its scripts running, to be found again."""

    def __init__(self, task: Task, shop: Workshop) -> None:
        self.task = task
        self._shop = shop
        self._waits_for = ""  # for the report alone: no step depends on it
        self._noted_at = 0.0

    @property
    def status(self) -> TaskStatus:
        """What the report says of it."""
        key, reason = self.task.key, self._waits_for or self.task.reason
        return TaskStatus(run_id=key.run_id, attempt=key.attempt, state=self.task.state, reason=reason)

    def wait_for(self, what: str) -> None:
        """Show in the report what the task waits for; empty: nothing any more."""
        if self._waits_for != what:
            self._waits_for = what
            self._shop.on_change()

    async def run(self) -> None:
        """Go on until the task has ended and only its outputs are kept."""
        while (step := pending(self.task)) is not Step.CLEAN_UP:
            try:
                await self._carry_out(step)
            except Exception as error:  # whatever a task meets ends that task, not the agent and its pipelines
                log.exception("task failed inside the agent", extra={"task": str(self.task.key)})
                self._give_up(step, error)
        await self._remove()

    async def end(self) -> None:
        """Stop it if it runs, and forget it with all it left here."""
        self._save(Unwanted())
        await self._remove()
        self._shop.journal.forget(self.task.key)
        log.info("task forgotten", extra={"task": str(self.task.key)})

    async def stop_with_agent(self, grace_s: float) -> None:
        """Stop its scripts because the agent ends; that it was lost is told when the agent is back."""
        if pending(self.task) in {Step.FIND, Step.WATCH}:
            self._save(Condemned(Outcome.LOST, "the agent was ended, and its tasks with it (end_tasks_on_exit)"))
            with suppress(TidemillError):  # the next agent finds and ends what is left
                if handle := await self._shop.executor.find(self.task.key):
                    await self._shop.executor.stop(handle, grace_s=grace_s)

    async def _carry_out(self, step: Step) -> None:
        match step:
            case Step.PREPARE:
                await self._prepare()
            case Step.FIND:
                await self._find()
            case Step.WATCH:
                await self._watch()
            case Step.END:
                raise AssertionError("a task that is being ended is not carried on")

    async def _prepare(self) -> None:
        try:
            ready = await prepare(self._shop, self.task, self._note)
        except (TidemillError, OSError) as error:
            self._fail(error)
            return
        executor = self._shop.executor
        self._save(Launching(started(executor.name, ready.environment), datetime.now(UTC), ready.usage))
        try:
            handle = await until_reachable(
                lambda: to_its_end(executor.start(ready.request, ready.environment)), self.wait_for
            )
        except (TidemillError, OSError) as error:
            self._fail(error)
            return
        self._shop.energy.begin(self.task.key)
        self._save(Launched(handle.ref))

    def _fail(self, error: Exception) -> None:
        full = isinstance(error, OutOfDisk) or (isinstance(error, OSError) and error.errno in task_folder.NO_ROOM)
        outcome = Outcome.OUT_OF_DISK if full else Outcome.PREPARE_FAILED
        self._save(Ended(Exited(outcome=outcome, reason=str(error)[:REASON_LENGTH])))

    async def _find(self) -> None:
        handle = await until_reachable(lambda: self._shop.executor.find(self.task.key), self.wait_for)
        if handle is None:
            self._save(Ended(Exited(outcome=Outcome.LOST, reason=f"the agent ended while starting it; {VANISHED}")))
        else:
            self._save(Launched(handle.ref))

    async def _watch(self) -> None:
        handle = TaskHandle(self.task.key, self.task.handle or "")
        spec = await self._shop.inputs.spec(self.task.key, self.task.spec, self.wait_for)
        async with shipped_output(self._shop, handle):
            result = await result_in_time(self._shop, handle, self.task, spec, condemn=self._save)
            measured = self._shop.energy.end(self.task.key)
        exited = await gather(self._shop, self.task, handle, spec, result)
        self._save(Ended(with_energy(exited, await self._shop.energy.told(measured))))

    def _give_up(self, step: Step, error: Exception) -> None:
        """End a task for a reason that is ours: before its scripts ran it has failed, after that it is lost."""
        reason = f"the agent failed at it, see the agent's log: {type(error).__name__}: {error}"
        outcome = Outcome.PREPARE_FAILED if step is Step.PREPARE else Outcome.LOST
        self._save(Ended(Exited(outcome=outcome, reason=reason[:REASON_LENGTH])))

    async def _remove(self) -> None:
        """Leave nothing of it but what the journal and the blobs hold."""
        self._shop.energy.end(self.task.key)  # of one that was cancelled nobody wants to know
        await until_reachable(self._try_to_remove, self.wait_for)
        self.wait_for("")

    async def _try_to_remove(self) -> None:
        """Raises Unreachable when something is in the way: that must not end the agent and its pipelines."""
        key, executor = self.task.key, self._shop.executor
        try:
            if (handle := await executor.find(key)) is not None:
                await executor.stop(handle, grace_s=STOP_GRACE_S)
                await executor.remove(handle)
            await self._shop.secrets.remove(key, self.task.secrets)
            await to_its_end(asyncio.to_thread(task_folder.wipe, task_folder.folder_of(self._shop.folders, key)))
        except (TidemillError, OSError) as error:
            raise Unreachable(f"what the task left cannot be removed: {error}") from error

    def _note(self, note: str) -> None:
        """Tell how far the preparation is; what comes faster than that shows in the report alone."""
        now = time.monotonic()
        if self.task.state is TaskState.PREPARING and now - self._noted_at < NOTE_EVERY_S:
            self.wait_for(note[:NOTE_LENGTH])
        else:
            self._noted_at = now
            self._save(Noted(note[:NOTE_LENGTH]))

    def _save(self, event: TaskEvent) -> None:
        """The only way forward: what has happened is in the journal before anything is done about it."""
        before, (after, tell) = self.task, advance(self.task, event)
        self._waits_for = ""
        if after is before:
            return
        self.task = self._shop.journal.save(after, tell)
        if after.state is not before.state:
            ended = event.exited if isinstance(event, Ended) else None
            about = {"outcome": ended.outcome, "reason": ended.reason} if ended else {}
            log.info("task moved", extra={"task": str(after.key), "state": after.state, **about})
        self._shop.on_change()
