"""When windows close, and with what. Pure: no clock, no disk.

    row ─▶ too late? ─▶ counted and dropped
             └ no ─▶ into its pane ─▶ the watermark moves ─▶ windows that end at or before it close

The watermark of windows of time is the latest time seen, of whatever key, less the lateness that is allowed; it never
goes back. A window of so many rows closes with its last row.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline_runtime.windows.aggregates import Aggregate
from pipeline_runtime.windows.panes import Grid, Pane, Panes

NEVER = 2**63
_BEGINNING = -(2**63)


@dataclass(frozen=True, slots=True)
class Closed:
    """A window that is over."""

    key: str  # as JSON
    start: int
    end: int
    rows: int
    values: tuple[object, ...]  # one for each aggregate


class Windows(ABC):
    """The open windows of a node."""

    def __init__(self, grid: Grid, aggregates: Sequence[Aggregate]) -> None:
        self.grid = grid
        self.panes = Panes(grid, aggregates)
        self.watermark = _BEGINNING
        self.late = 0  # rows that came too late since somebody asked

    @property
    def next_end(self) -> int:
        """Where the watermark must come to for a window to close."""
        return NEVER

    @abstractmethod
    def add(self, key: str, at: int, values: Sequence[object]) -> list[Closed]:
        """Add a row; the windows that it closes, in order. Raises BadPayload: there is no room for it."""

    def advance(self, watermark: int) -> list[Closed]:  # noqa: ARG002 - where time does not matter
        """The windows that close because it is so late."""
        return []

    @abstractmethod
    def flush(self) -> list[Closed]:
        """Close every window that has a row."""

    @abstractmethod
    def restored(self) -> None:
        """Look anew at the panes: they were put in their places from outside."""

    def _closed(self, key: str, start: int, end: int, pane: Pane) -> Closed:
        results = zip(self.panes.aggregates, pane.states, strict=True)
        return Closed(key, start, end, pane.rows, tuple(aggregate.result(state) for aggregate, state in results))


class TimeWindows(Windows):
    """Windows that are so long, tumbling or sliding. Times are microseconds since 1970."""

    def __init__(self, grid: Grid, aggregates: Sequence[Aggregate], lateness: int = 0) -> None:
        super().__init__(grid, aggregates)
        self._lateness = lateness
        self._next_end = NEVER

    @property
    def next_end(self) -> int:
        """Where the watermark must come to for a window to close."""
        return self._next_end

    def add(self, key: str, at: int, values: Sequence[object]) -> list[Closed]:
        """Add a row, unless all its windows are closed."""
        if self.grid.last_end(at) <= self.watermark:
            self.late += 1
            return []
        self.panes.add(key, at, values)
        self._next_end = min(self._next_end, self._end_of(at))
        return self.advance(at - self._lateness)

    def _end_of(self, at: int) -> int:
        """Of the first window that holds it and is open."""
        return self.grid.end_after(max(at, self.watermark))

    def advance(self, watermark: int) -> list[Closed]:
        """Close what ends at or before it."""
        before, self.watermark = self.watermark, max(self.watermark, watermark)
        if self.watermark < self._next_end:
            return []
        closed = [window for key, _ in self.panes for window in self._closing(key, before)]
        for key, panes in list(self.panes):
            self.panes.drop(key, [start for start in panes if self.grid.last_end(start) <= self.watermark])
        self.restored()
        return sorted(closed, key=lambda window: (window.end, window.key))

    def _closing(self, key: str, before: int) -> list[Closed]:
        """The windows of a key that end later than ``before`` and not later than the watermark."""
        grid = self.grid
        ends: set[int] = set()
        for start in self.panes.of[key]:
            first, last = grid.end_after(max(start, before)), min(grid.last_end(start), self.watermark)
            ends.update(range(first, last + 1, grid.every))
        found = ((end, self.panes.together(key, end - grid.size, end)) for end in ends)
        return [self._closed(key, end - grid.size, end, pane) for end, pane in found if pane]

    def flush(self) -> list[Closed]:
        """As if the last window of all were over; what comes for these windows later is late."""
        ends = [self.grid.last_end(start) for _, panes in self.panes for start in panes]
        return self.advance(max(ends)) if ends else []

    def restored(self) -> None:
        """Look anew for the window that closes next."""
        self._next_end = min((self._end_of(start) for _, panes in self.panes for start in panes), default=NEVER)


class CountWindows(Windows):
    """Windows of so many rows of a key. The place of a row is its number."""

    def __init__(self, grid: Grid, aggregates: Sequence[Aggregate]) -> None:
        super().__init__(grid, aggregates)
        self._seen: dict[str, int] = {}  # rows of each key that has panes

    def add(self, key: str, at: int, values: Sequence[object]) -> list[Closed]:  # noqa: ARG002
        """Add the key's next row."""
        number, grid = self._seen.get(key, 0), self.grid
        self.panes.add(key, number, values)
        end = self._seen[key] = number + 1
        start = end - grid.size
        if start < 0 or start % grid.every:
            return []
        return self._close(key, start, end, start + grid.every)

    def _close(self, key: str, start: int, end: int, needed_from: int) -> list[Closed]:
        pane = self.panes.together(key, start, end)
        panes = self.panes.of[key]
        self.panes.drop(key, [place for place in panes if place + self.grid.pane <= needed_from])
        if key not in self.panes.of:
            del self._seen[key]  # the next row is the first one
        return [self._closed(key, start, end, pane)] if pane else []

    def flush(self) -> list[Closed]:
        """Close windows that are not full; only where they do not overlap."""
        return [window for key, end in list(self._seen.items()) for window in self._close(key, 0, end, NEVER)]

    def restored(self) -> None:
        """Count the rows of each key anew."""
        self._seen = {key: max(start + pane.rows for start, pane in panes.items()) for key, panes in self.panes}
