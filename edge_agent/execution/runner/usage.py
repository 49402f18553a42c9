"""What the scripts took, and which of its container's limits they ran into."""

from __future__ import annotations

import resource
from pathlib import Path

_KIB = 1024
_EVENTS = ("/sys/fs/cgroup/pids.events", "/sys/fs/cgroup/pids/pids.events")  # version 2 of control groups, version 1


def taken(sampled_peak_bytes: int) -> dict[str, float]:
    """Seconds of cpu, and the most memory at one time, of all processes that have ended.

    Args:
        sampled_peak_bytes: the most that all together were seen to have.
    """
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "cpu_s": ended.ru_utime + ended.ru_stime,
        "memory_peak_bytes": max(sampled_peak_bytes, ended.ru_maxrss * _KIB),
    }


def refused_processes() -> int:
    """How often a limit on processes kept one from being started, in this container or control group."""
    for name in _EVENTS:
        try:
            words = Path(name).read_text(encoding="ascii").split()
            return int(words[words.index("max") + 1])
        except (OSError, ValueError, IndexError):
            continue
    return 0
