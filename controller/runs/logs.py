"""The logs of runs: one file per attempt, each line behind its number, so that gaps and repeats show."""

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from controller.runs.log_reader import LogReader
from controller.runs.steps import Run

_FILE_NAME = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-(\d+)\.(?:log|part)")
_MAX_BYTES = 64 * 1024 * 1024  # more than an edge's cap, so that only a broken edge reaches it
_READ_AT_ONCE = 1000  # lines in memory

Attempt = tuple[UUID, int]
"""A run, and the number of its attempt."""


class RunLogs:
    """Where log lines are kept. Reading and writing block for a moment: use ``asyncio.to_thread`` for whole logs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._next: dict[tuple[UUID, int], int] = {}

    def append(self, run_id: UUID, attempt: int, *, first_line: int, lines: Iterable[str]) -> None:
        """Keep the lines that are not here yet; a batch that was delivered twice adds nothing."""
        path = self._path(run_id, attempt)
        known = self._next_line(run_id, attempt)
        fresh = [(number, line) for number, line in enumerate(lines, start=first_line) if number >= known]
        if fresh and (not path.exists() or path.stat().st_size < _MAX_BYTES):
            with path.open("a", encoding="utf-8") as file:
                file.writelines(f"{number}\t{_one_line(line)}\n" for number, line in fresh)
            self._next[run_id, attempt] = fresh[-1][0] + 1

    def replace(self, run_id: UUID, attempt: int, whole: Path) -> None:
        """Put the edge's own log in place of what came live, so that no gap is left."""
        path = self._path(run_id, attempt)
        part = path.with_suffix(".part")
        with whole.open(encoding="utf-8", errors="replace") as source, part.open("w", encoding="utf-8") as file:
            number = -1
            for number, line in enumerate(source):
                file.write(f"{number}\t{_one_line(line)}\n")
        part.replace(path)
        self._next[run_id, attempt] = number + 1

    def read(self, run_id: UUID, attempt: int, *, from_line: int, limit: int) -> tuple[list[str], int]:
        """Up to ``limit`` lines with a number of at least ``from_line``, and the number to ask for next."""
        reader = self.reader(run_id, attempt, from_line=from_line)
        lines = [line for _, line in reader.read(limit)]
        return lines, reader.next_line

    def reader(self, run_id: UUID, attempt: int, *, from_line: int = 0) -> LogReader:
        """A place in the log that can be gone on from."""
        return LogReader(self._path(run_id, attempt), from_line)

    def attempts(self) -> set[Attempt]:
        """The attempts of which something is kept."""
        names = (_FILE_NAME.fullmatch(path.name) for path in self._folder.iterdir())
        return {(UUID(name[1]), int(name[2])) for name in names if name}

    def forget(self, run_id: UUID, attempt: int) -> None:
        """Remove what is kept of an attempt."""
        path = self._path(run_id, attempt)
        for one in (path, path.with_suffix(".part")):
            one.unlink(missing_ok=True)

    def follow(self, run: Run) -> None:
        """The run moved: remember nothing of it once it has ended."""
        if run.ended_at is not None:
            for attempt in range(1, run.attempt + 1):
                self._next.pop((run.id, attempt), None)

    def _next_line(self, run_id: UUID, attempt: int) -> int:
        key = run_id, attempt
        if key not in self._next:
            reader = self.reader(run_id, attempt)
            with suppress(FileNotFoundError), self._path(run_id, attempt).open("r+b") as file:
                while reader.read(_READ_AT_ONCE):
                    pass
                file.truncate(reader.offset)  # a line that a crash cut off would run into the next one
            self._next[key] = reader.next_line
        return self._next[key]

    def _path(self, run_id: UUID, attempt: int) -> Path:
        return self._folder / f"{run_id}-{attempt}.log"


def _one_line(line: str) -> str:
    return line.rstrip("\r\n").replace("\r", "␍").replace("\n", "␊")
