"""How a task's end is judged, from how its scripts ended. Pure."""

import signal
from collections.abc import Iterable

from edge_agent.execution.executor import ExitResult
from edge_agent.tasks.task_machine import Task
from schemas.jobs import Limits
from schemas.runs import Outcome

_OUTCOMES = {"timeout_s": Outcome.TIMED_OUT, "disk_reserve_mb": Outcome.OUT_OF_DISK}
_UNREACHABLE = ("[Errno 101]", "[Errno -3]", "Network is unreachable", "Temporary failure in name resolution")

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
    if result.passed:
        return _OUTCOMES.get(result.passed, Outcome.SCRIPT_FAILED), _over(result, limits)
    if result.exit_code == 0:
        return Outcome.OK, ""
    return Outcome.SCRIPT_FAILED, f"{result.script} ended {_manner(result.exit_code)}"


def hint(result: ExitResult | None, limits: Limits, log_tail: Iterable[str]) -> str:
    """Which limit the last words of a failed script are about, so that the reason can name it; empty if none.

    Args:
        result: how it ended.
        limits: of its spec.
        log_tail: the last lines of its log.
    """
    if result is None or result.passed:
        return ""  # nothing to add
    tail = "\n".join(log_tail)
    if "[Errno 27]" in tail:
        return "; one file cannot be larger than limits.output_mb and limits.scratch_mb allow"
    if limits.network == "none" and any(words in tail for words in _UNREACHABLE):
        return "; it has no network (limits.network = none)"
    return ""


def _over(result: ExitResult, limits: Limits) -> str:
    """Why a script was ended."""
    ended = f"{result.script} was ended because"
    match result.passed:
        case "memory_mb" if limits.memory_mb is None:
            return f"{ended} this machine's memory was full; limits.memory_mb bounds what a task takes"
        case "memory_mb":
            return f"{ended} it took more than limits.memory_mb = {limits.memory_mb}"
        case "pids":
            return f"{result.script} ended because it had more processes and threads than limits.pids = {limits.pids}"
        case "timeout_s":
            return f"still running after {limits.timeout_s:g} s (limits.timeout_s)"
        case "disk_reserve_mb":
            return f"{ended} the disk of this machine was nearly full (disk_reserve_mb in its agent's configuration)"
        case "output_mb":
            return f"{ended} output/ held more than limits.output_mb = {limits.output_mb}"
        case "scratch_mb":
            return f"{ended} its working folder held more than limits.scratch_mb = {limits.scratch_mb}"
        case _:
            return f"{ended} it wrote to {result.passed[:20]!r}, which is not its own"


def _manner(exit_code: int) -> str:
    """Exit codes below zero (a process) and above 128 (a container, a shell) stand for signals."""
    number = -exit_code if exit_code < 0 else exit_code - 128
    try:
        return f"by signal {signal.Signals(number).name} (exit code {exit_code})"
    except ValueError:
        return f"with exit code {exit_code}"
