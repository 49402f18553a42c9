"""Reads a kept log from where it was read before, so that following a long one does not read it all each time."""

import os
from pathlib import Path


class LogReader:
    """One reader's place in one attempt's log; each line is told once, also when the file was replaced meanwhile."""

    def __init__(self, path: Path, next_line: int = 0) -> None:
        self._path, self.next_line = path, next_line
        self._inode, self.offset = 0, 0  # the offset is behind the last whole line that was looked at

    def read(self, limit: int) -> list[tuple[int, str]]:
        """Up to ``limit`` whole lines with their numbers, from ``next_line`` on. Blocks on the disk."""
        found: list[tuple[int, str]] = []
        try:
            with self._path.open("rb") as file:
                self._go_on(file.fileno())
                file.seek(self.offset)
                while len(found) < limit and (entry := file.readline()).endswith(b"\n"):
                    self.offset += len(entry)
                    number, _, line = entry.decode(errors="replace").removesuffix("\n").partition("\t")
                    if int(number) >= self.next_line:
                        found.append((int(number), line))
                        self.next_line = int(number) + 1
        except FileNotFoundError:
            return []
        return found

    def _go_on(self, descriptor: int) -> None:
        inode = os.fstat(descriptor).st_ino
        if inode != self._inode:  # the edge's own log took the place of what came live
            self._inode, self.offset = inode, 0
