"""The processes that a task's scripts have started, however far they went from their parents."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from pathlib import Path
from typing import NamedTuple

_PR_SET_CHILD_SUBREAPER = 36
_KILL_ROUNDS = 50  # bounded: not even SIGKILL ends a process that waits for a broken disk
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Process(NamedTuple):
    """One entry of /proc, as far as it matters here."""

    pid: int
    parent: int
    zombie: bool
    threads: int
    rss_bytes: int


def keep_orphans() -> None:
    """Have processes whose parent ends become children of this one, so that none is lost sight of."""
    with contextlib.suppress(OSError, AttributeError):  # a system without it: those are missed
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants() -> list[Process]:
    """All that came of this process and is still there."""
    children: dict[int, list[Process]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            process = _look_at(entry)
            if process is not None:
                children.setdefault(process.parent, []).append(process)
    found, parents = [], [os.getpid()]
    while parents:
        below = children.get(parents.pop(), [])
        found += below
        parents += [process.pid for process in below]
    return found


def memory_bytes(processes: list[Process], limit_bytes: int | None) -> int:
    """What they take together; what several share is counted once where it decides about the limit."""
    resident = sum(process.rss_bytes for process in processes)
    if limit_bytes is None or resident <= limit_bytes:
        return resident
    return sum(_share_bytes(process) for process in processes)


def reap(processes: list[Process], *, but: int) -> None:
    """Let go of orphans that have ended; the script itself is waited for elsewhere."""
    for process in processes:
        if process.zombie and process.parent == os.getpid() and process.pid != but:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process.pid, os.WNOHANG)


def kill_all(*, but: int = 0) -> None:
    """Kill everything below this process, again and again until there is nothing but zombies.

    Each is stopped first: what goes on forking must not outrun us.
    """
    for _ in range(_KILL_ROUNDS):
        living = [process for process in descendants() if not process.zombie]
        if not living:
            break
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process in living:
                with contextlib.suppress(OSError):
                    os.kill(process.pid, number)
    reap(descendants(), but=but)


def _look_at(entry: Path) -> Process | None:
    try:
        fields = (entry / "stat").read_bytes().rpartition(b") ")[2].split()
    except OSError:  # it has ended
        return None
    return Process(int(entry.name), int(fields[1]), fields[0] in b"ZX", int(fields[17]), int(fields[21]) * _PAGE_BYTES)


def _share_bytes(process: Process) -> int:
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_bytes().splitlines()
    except OSError:
        return process.rss_bytes
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(b"Pss:"))
