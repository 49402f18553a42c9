"""Finding and killing the processes of a task, also those that left its session."""

import os
import signal
from contextlib import suppress

import psutil

from edge_agent.execution.executor import TaskKey


def kill_processes(key: TaskKey, *, but: int | None) -> bool:
    """Kill what a task has left running, but for its runner; whether there was nothing. Blocks for milliseconds.

    The processes are known by the variables that they inherited, whatever group, session or parent they have now. One
    that cleared its environment is missed if its runner was killed, which else ends all that came of its scripts.
    """
    marks = {"TIDEMILL_RUN_ID": str(key.run_id), "TIDEMILL_ATTEMPT": str(key.attempt)}
    found = [
        process.pid
        for process in psutil.process_iter(["environ"])
        if process.pid not in {but, os.getpid()} and marks.items() <= (process.info["environ"] or {}).items()
    ]
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return not found
