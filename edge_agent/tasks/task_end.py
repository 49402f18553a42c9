"""Watching a started task until its scripts have ended, and gathering what it leaves behind."""

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from edge_agent.energy.shares import Energy
from edge_agent.execution import outputs, task_folder
from edge_agent.execution.executor import ExitResult, TaskHandle
from edge_agent.patience import to_its_end, until_reachable
from edge_agent.tasks import progress
from edge_agent.tasks.log_archive import ArchivedLog, archive
from edge_agent.tasks.outcomes import hint, judge
from edge_agent.tasks.task_machine import Condemned, Task
from edge_agent.tasks.workshop import Workshop
from schemas.errors import OutOfDisk, TidemillError
from schemas.names import BlobRef
from schemas.runs import Exited, Outcome, Outputs, Usage
from schemas.tasks import TaskSpec

log = logging.getLogger(__name__)

STOP_GRACE_S = 5.0  # between asking scripts to end and killing them
TAIL_LINE_LENGTH = 500  # the log's blob has the lines whole
EXITED_LIMIT = 250_000  # characters, of up to four bytes; a broker takes a megabyte


async def result_in_time(
    shop: Workshop, handle: TaskHandle, task: Task, spec: TaskSpec, condemn: Callable[[Condemned], None]
) -> ExitResult | None:
    """Wait for the scripts; when their time is over, say so to ``condemn`` first, then stop them.

    The time runs from their start by the wall clock, so that it goes on while the agent is away; once the agent
    watches, the monotonic clock counts what is left.
    """

    def note(reason: str) -> None:
        log.warning("executor is away", extra={"task": str(handle.key), "reason": reason})

    if task.verdict is None:
        ending = asyncio.create_task(until_reachable(lambda: shop.executor.wait(handle), note), name="end of scripts")
        overdue = await _first(ending, _overdue(shop, task, spec))
        if overdue is None:
            return ending.result()
        condemn(overdue)
    await until_reachable(lambda: shop.executor.stop(handle, grace_s=STOP_GRACE_S), note)
    return await until_reachable(lambda: shop.executor.wait(handle), note)


async def _first(ending: asyncio.Task[ExitResult | None], overdue: Coroutine[Any, Any, Condemned]) -> Condemned | None:
    """Wait until the scripts have ended, or until their time is over: then why."""
    watching = asyncio.create_task(overdue, name="time of scripts")
    try:
        await asyncio.wait({ending, watching}, return_when=asyncio.FIRST_COMPLETED)
        return None if ending.done() else watching.result()
    finally:
        for work in (ending, watching):
            if not work.done():
                work.cancel()
                await asyncio.wait({work})


async def _overdue(shop: Workshop, task: Task, spec: TaskSpec) -> Condemned:
    """Wait until the scripts have had their time, or the edge was without its controller for too long."""
    timeout_s, stop_after_s = spec.limits.timeout_s, spec.stop_after_s
    try:
        async with asyncio.timeout(_left_s(task, timeout_s)):
            await shop.contact.gone_for(math.inf if stop_after_s is None else stop_after_s)
    except TimeoutError:
        return Condemned(Outcome.TIMED_OUT, f"still running after {timeout_s:g} s (limits.timeout_s)")
    return Condemned(Outcome.LOST, f"the edge was cut off for {stop_after_s:g} s, as silence.stop_after says")


async def gather(shop: Workshop, task: Task, handle: TaskHandle, spec: TaskSpec, result: ExitResult | None) -> Exited:
    """Judge the end, keep outputs and log as blobs: what to tell. Doing it twice gives the same."""
    outcome, reason = judge(task, result, spec.limits)
    made: Outputs | None = None
    if outcome is Outcome.OK:
        try:
            folder = task_folder.folder_of(shop.folders, task.key)
            made = await to_its_end(asyncio.to_thread(outputs.collect, folder, spec, shop.blobs))
        except OutOfDisk as error:
            outcome, reason = Outcome.OUT_OF_DISK, str(error)
        except (TidemillError, OSError) as error:
            outcome, reason = Outcome.OUTPUT_REFUSED, str(error)
    kept = await _log_of(shop, handle)
    if outcome is Outcome.SCRIPT_FAILED and kept is not None:
        reason += hint(result, spec.limits, kept.tail)
    exited = Exited(
        outcome=outcome,
        reason=reason,
        exit_code=result.exit_code if result else None,
        script_s=result.script_s if result else 0.0,
        outputs=made,
        log=kept.blob if kept else None,
        log_tail=tuple(line[:TAIL_LINE_LENGTH] for line in kept.tail) if kept else (),
        progress=await _progress_of(shop, task),
        usage=_usage(task, result),
    )
    if made is not None and len(exited.model_dump_json()) > EXITED_LIMIT:
        refusal = "the names of the additional outputs are too long to be told in one message; pack them into fewer"
        return exited.model_copy(update={"outcome": Outcome.OUTPUT_REFUSED, "reason": refusal, "outputs": None})
    return exited


def with_energy(exited: Exited, energy: Energy | None) -> Exited:
    """Tell also what was measured beside it."""
    if energy is None:
        return exited
    measured = {"energy_kwh": energy.kwh, "co2e_kg": energy.co2e_kg}
    return exited.model_copy(update={"usage": exited.usage.model_copy(update=measured)})


def _usage(task: Task, result: ExitResult | None) -> Usage:
    if result is None:
        return task.usage
    return task.usage.model_copy(update={"cpu_s": result.cpu_s, "memory_peak_bytes": result.memory_peak_bytes})


async def _progress_of(shop: Workshop, task: Task) -> BlobRef | None:
    try:
        return await progress.keep(shop.folders, task.key, shop.blobs)
    except (TidemillError, OSError) as error:
        log.warning("progress could not be kept", extra={"task": str(task.key), "reason": str(error)})
        return None


async def _log_of(shop: Workshop, handle: TaskHandle) -> ArchivedLog | None:
    """The log, if it is still there; a task that is over ends without it rather than not at all."""
    try:
        return await archive(shop.executor.log_lines(handle, 0), shop.blobs)
    except (TidemillError, OSError) as error:
        log.warning("log could not be kept", extra={"task": str(handle.key), "reason": str(error)})
        return None


def _left_s(task: Task, timeout_s: float) -> float:
    if task.launched_at is None:
        return timeout_s
    gone_s = (datetime.now(UTC) - task.launched_at).total_seconds()
    return max(0.0, timeout_s - max(0.0, gone_s))  # a clock set back must not lengthen it
