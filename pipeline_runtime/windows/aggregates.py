"""What a window reckons of its rows: added up row by row within a pane, and pane by pane into a window. Pure.

A state is a list of numbers, or of rows, that JSON can hold: a number that grew beyond all floats is None from then on.
Panes are put together in the order of their times.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor, isfinite, sqrt
from typing import Any

State = list[Any]
_LARGE = 2**62  # whole numbers near the end of what JSON is written with become floats


class Aggregate(ABC):
    """One number, or list, of the values that a window's rows have."""

    numbers = True  # whether the values have to be numbers
    keeps_rows = False  # whether its state grows with every row

    def start(self) -> State:
        """Of no rows."""
        return []

    @abstractmethod
    def add(self, state: State, at: int, value: Any) -> None:  # noqa: ANN401
        """One row more. ``at`` is its time, or its number."""

    @abstractmethod
    def merge(self, state: State, later: State) -> None:
        """The rows of a later pane more."""

    @abstractmethod
    def result(self, state: State) -> object:
        """What is told of all the rows; None where there is nothing to tell."""


class Count(Aggregate):
    """How many values there are."""

    numbers = False

    def start(self) -> State:
        """None yet."""
        return [0]

    def add(self, state: State, at: int, value: object) -> None:  # noqa: ARG002
        """One more."""
        state[0] += 1

    def merge(self, state: State, later: State) -> None:
        """So many more."""
        state[0] += later[0]

    def result(self, state: State) -> object:
        """Their number."""
        return state[0]


class Sum(Aggregate):
    """The sum, with what floats lose on the way: [count, sum, lost]."""

    def start(self) -> State:
        """Zero."""
        return [0, 0, 0]

    def add(self, state: State, at: int, value: float) -> None:  # noqa: ARG002
        """One more number."""
        state[0] += 1
        _sum(state, value)

    def merge(self, state: State, later: State) -> None:
        """Another sum more."""
        state[0] += later[0]
        if later[1] is None:
            state[1] = None
        else:
            _sum(state, later[1])
            state[2] += later[2]

    def result(self, state: State) -> object:
        """The sum."""
        return None if state[1] is None else _told(state[1] + state[2])


class Mean(Sum):
    """The mean."""

    def result(self, state: State) -> object:
        """The mean; of nothing there is none."""
        return None if state[1] is None or not state[0] else _told((state[1] + state[2]) / state[0])


@dataclass(frozen=True, slots=True)
class Extreme(Aggregate):
    """The smallest or the largest number."""

    choose: Callable[[float, float], float]

    def add(self, state: State, at: int, value: float) -> None:  # noqa: ARG002
        """Look at one more."""
        state[:] = [self.choose(state[0], value) if state else value]

    def merge(self, state: State, later: State) -> None:
        """Look at those of another pane."""
        if later:
            self.add(state, 0, later[0])

    def result(self, state: State) -> object:
        """It, if there is one."""
        return state[0] if state else None


class First(Aggregate):
    """The value of the earliest row; of several, of the one that came first."""

    numbers = False

    def add(self, state: State, at: int, value: object) -> None:
        """Look at one more."""
        if not state or at < state[0]:
            state[:] = [at, value]

    def merge(self, state: State, later: State) -> None:
        """What is later is not the first."""
        if not state:
            state[:] = later

    def result(self, state: State) -> object:
        """It, if there is one."""
        return state[1] if state else None


class Last(First):
    """The value of the latest row; of several, of the one that came last."""

    def add(self, state: State, at: int, value: object) -> None:
        """Look at one more."""
        if not state or at >= state[0]:
            state[:] = [at, value]

    def merge(self, state: State, later: State) -> None:
        """What is later is the last."""
        if later:
            state[:] = later


class Deviation(Aggregate):
    """The standard deviation of a sample: [count, mean, sum of squared distances from it]."""

    def start(self) -> State:
        """Of no numbers."""
        return [0, 0.0, 0.0]

    def add(self, state: State, at: int, value: float) -> None:  # noqa: ARG002
        """One more number, as Welford did it."""
        state[0] += 1
        if state[1] is not None:
            distance = value - state[1]
            state[1] += distance / state[0]
            state[2] += distance * (value - state[1])
            _forget_the_infinite(state)

    def merge(self, state: State, later: State) -> None:
        """Another pane's, as Chan did it."""
        count = state[0] + later[0]
        if state[1] is None or later[1] is None:
            state[:] = [count, None, None]
        elif later[0]:
            distance = later[1] - state[1]
            state[1] += distance * later[0] / count
            state[2] += later[2] + distance * distance * state[0] * later[0] / count
            state[0] = count
            _forget_the_infinite(state)

    def result(self, state: State) -> object:
        """Of fewer than two numbers there is none."""
        if state[1] is None or state[0] < 2:
            return None
        return _told(sqrt(max(state[2], 0.0) / (state[0] - 1)))


@dataclass(frozen=True, slots=True)
class Quantile(Aggregate):
    """The number that this share of all numbers is not above, between two of them if need be."""

    share: float
    keeps_rows = True

    def add(self, state: State, at: int, value: float) -> None:  # noqa: ARG002
        """Keep one more."""
        state.append(value)

    def merge(self, state: State, later: State) -> None:
        """Keep those, too."""
        state += later

    def result(self, state: State) -> object:
        """It; of nothing there is none."""
        if not state:
            return None
        numbers, place = sorted(state), self.share * (len(state) - 1)
        below, above = numbers[floor(place)], numbers[ceil(place)]
        return below if below == above else _told(below + (above - below) * (place - floor(place)))


class Rows(Aggregate):
    """All values, in the order of their times; of the same time, as they came."""

    numbers = False
    keeps_rows = True

    def add(self, state: State, at: int, value: object) -> None:
        """Keep one more."""
        state.append([at, value])

    def merge(self, state: State, later: State) -> None:
        """Keep those, too."""
        state += later

    def result(self, state: State) -> object:
        """The list."""
        return [value for _, value in sorted(state, key=lambda row: row[0])]


def _sum(state: State, value: float) -> None:
    """Add to a sum as Neumaier did it: what is too small to be seen in it is kept beside it."""
    if state[1] is None:
        return
    before, after = state[1], state[1] + value
    if isinstance(after, int):
        state[1] = after if -_LARGE < after < _LARGE else float(after)
        return
    if isfinite(after):
        state[2] += (before - after) + value if abs(before) >= abs(value) else (value - after) + before
    state[1] = after if isfinite(after) else None


def _forget_the_infinite(state: State) -> None:
    if not (isfinite(state[1]) and isfinite(state[2])):
        state[1] = state[2] = None


def _told(number: float) -> float | None:
    """A number that JSON has; none if it grew beyond all floats."""
    return number if isfinite(number) else None
