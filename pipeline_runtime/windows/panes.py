"""Rows added up in panes, the pieces that overlapping windows are put together from. Pure.

windows of 10, every 4:   ├─────────┤
                              ├─────────┤
panes of 2:               ├─┼─┼─┼─┼─┼─┼─┤
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import gcd

from pipeline_runtime.windows.aggregates import Aggregate, State
from schemas.errors import BadPayload

MOST_PANES = 100_000  # of a node
MOST_KEPT = 100_000  # rows of a pane, where they are kept one by one


@dataclass(frozen=True, slots=True)
class Grid:
    """Where windows lie: ``size`` long, one beginning ``every`` so often, from zero on. Microseconds, or rows."""

    size: int
    every: int

    @property
    def pane(self) -> int:
        """How long a pane is."""
        return gcd(self.size, self.every)

    def end_after(self, at: int) -> int:
        """Where the first window ends that ends later than that."""
        return ((at - self.size) // self.every + 1) * self.every + self.size

    def last_end(self, at: int) -> int:
        """Where the last window ends that holds it."""
        return at // self.every * self.every + self.size


@dataclass(slots=True)
class Pane:
    """Some rows of one key, added up."""

    rows: int
    states: list[State]


Place = tuple[str, int]
"""A key, as JSON, and where a pane begins."""


@dataclass(slots=True)
class Panes:
    """All panes of a node, by key and beginning, and which of them are not yet on disk as they are."""

    grid: Grid
    aggregates: Sequence[Aggregate]
    of: dict[str, dict[int, Pane]] = field(default_factory=dict)
    count: int = 0
    changed: set[Place] = field(default_factory=set)
    gone: set[Place] = field(default_factory=set)

    def add(self, key: str, at: int, values: Sequence[object]) -> None:
        """Add a row: a value for each aggregate, or None.

        Raises:
            BadPayload: there is no room for it; nothing was added.
        """
        start = at // self.grid.pane * self.grid.pane
        pane = self.of.get(key, {}).get(start)
        if pane is None:
            pane = self.put((key, start), Pane(0, [aggregate.start() for aggregate in self.aggregates]))
        elif pane.rows >= MOST_KEPT and any(aggregate.keeps_rows for aggregate in self.aggregates):
            raise BadPayload(f"a window keeps no more than {MOST_KEPT} rows; make it smaller, or keep no rows in it")
        pane.rows += 1
        for aggregate, state, value in zip(self.aggregates, pane.states, values, strict=True):
            if value is not None:
                aggregate.add(state, at, value)
        self.changed.add((key, start))

    def put(self, place: Place, pane: Pane) -> Pane:
        """A pane more. Raises BadPayload."""
        if self.count >= MOST_PANES:
            raise BadPayload(f"{MOST_PANES} windows are open, and no more can be; are there so many keys?")
        key, start = place
        self.of.setdefault(key, {})[start] = pane
        self.count += 1
        self.gone.discard(place)
        return pane

    def drop(self, key: str, starts: Iterable[int]) -> None:
        """No window needs these any more."""
        panes = self.of[key]
        for start in starts:
            del panes[start]
            self.count -= 1
            self.changed.discard((key, start))
            self.gone.add((key, start))
        if not panes:
            del self.of[key]

    def together(self, key: str, start: int, end: int) -> Pane | None:
        """The rows of a window; None: it has none."""
        panes = self.of[key]
        places = range(start, end, self.grid.pane)
        there = [panes[place] for place in places if place in panes]
        if not there:
            return None
        states = [aggregate.start() for aggregate in self.aggregates]
        for pane in there:
            for aggregate, state, more in zip(self.aggregates, states, pane.states, strict=True):
                aggregate.merge(state, more)
        return Pane(sum(pane.rows for pane in there), states)

    def __iter__(self) -> Iterator[tuple[str, Mapping[int, Pane]]]:
        return iter(self.of.items())
