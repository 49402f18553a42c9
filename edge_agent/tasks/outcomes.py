"""How a task's end is judged, from how its scripts ended. Pure."""

import signal

from edge_agent.execution.executor import ExitResult
from edge_agent.tasks.task_machine import Task
from schemas.jobs import Limits
from schemas.runs import Outcome

VANISHED = "its scripts did not end by themselves (machine restarted, or process or container ended by somebody)"


def judge(task: Task, result: ExitResult | None, limits: Limits) -> tuple[Outcome, str]:
    """The outcome and its reason; ``OK`` holds only if what it made can be collected too.

    Args:
        task: as it is in the journal; a verdict given before the scripts ended stands.
        result: what the executor says, None when the task is gone.
        limits: of its spec, named in the reason.
    """
    if task.verdict is not None:
        return task.verdict, task.verdict_reason
    if result is None:
        return Outcome.LOST, VANISHED
    if result.out_of_memory:
        limit = f" of {limits.memory_mb} MB" if limits.memory_mb else ""
        return Outcome.SCRIPT_FAILED, f"{result.script} was ended because it passed the memory limit{limit}"
    if result.exit_code == 0:
        return Outcome.OK, ""
    return Outcome.SCRIPT_FAILED, f"{result.script} ended {_manner(result.exit_code)}"


def _manner(exit_code: int) -> str:
    """Exit codes below zero (a process) and above 128 (a container, a shell) stand for signals."""
    number = -exit_code if exit_code < 0 else exit_code - 128
    try:
        return f"by signal {signal.Signals(number).name} (exit code {exit_code})"
    except ValueError:
        return f"with exit code {exit_code}"
