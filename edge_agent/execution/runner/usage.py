"""What the scripts took, and which of its container's limits they ran into."""

from __future__ import annotations

import resource
from pathlib import Path

_KIB = 1024
_CGROUP = Path("/sys/fs/cgroup")


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


class Container:
    """What the container's control group has refused to the scripts since this was made; nothing without one."""

    def __init__(self, *, there: bool) -> None:
        self._there = there
        self._killed, self._refused = self._memory_kills(), self._refused_processes()

    @property
    def passed(self) -> str:
        """The limit that the scripts ran into, empty if none."""
        if self._memory_kills() > self._killed:
            return "memory_mb"
        return "pids" if self._refused_processes() > self._refused else ""

    def _memory_kills(self) -> int:
        return self._count("oom_kill", "memory.events", "memory/memory.oom_control")

    def _refused_processes(self) -> int:
        return self._count("max", "pids.events", "pids/pids.events")

    def _count(self, word: str, *names: str) -> int:
        """How often something happened, from the first file that is there: version 2 of control groups, then 1."""
        for name in names if self._there else ():
            try:
                words = (_CGROUP / name).read_text(encoding="ascii").split()
                return int(words[words.index(word) + 1])
            except (OSError, ValueError, IndexError):
                continue
        return 0
