"""Whether what a data trigger saw makes its job due, and how a person is told of it. Pure."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.schedules import NewRows, Threshold, Trigger

COUNTED_BEYOND = 10_000
"""So many rows more than a trigger waits for are counted; that there are still more need not be known exactly."""


@dataclass(frozen=True, slots=True)
class RowsSeen:
    """The rows behind the job's last run."""

    since: int  # the position that run saw
    upto: int  # of the newest row now
    count: int


@dataclass(frozen=True, slots=True)
class NumberSeen:
    """What the trigger's query gave."""

    value: float | None  # None: no row, or NULL


Sight = RowsSeen | NumberSeen


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look comes to."""

    cause: str  # why the job is due; empty if it is not
    crossed_at: datetime | None = None  # of a threshold: since when it is taken note of that it is crossed


def position_behind(position: int, *, accounted: bool, last_run_upto: int | None, upto: int) -> int:
    """From where rows are new to a job.

    Args:
        position: what was noted before.
        accounted: whether the job's last run is in that.
        last_run_upto: the position that this run saw; None if its queries do not read the collection.
        upto: of the newest row now: with nothing else to go by, the run saw all of them.
    """
    if accounted:
        return position
    return max(position, upto if last_run_upto is None else last_run_upto)


def judge(trigger: Trigger, seen: Sight, *, crossed_at: datetime | None, now: datetime, busy: bool) -> Verdict:
    """Whether the job is due now.

    A job that is busy with a run is not: new rows go on to be counted, and a threshold that is crossed meanwhile is
    taken note of when the run has ended.
    """
    if isinstance(trigger, NewRows):
        due = isinstance(seen, RowsSeen) and seen.count >= trigger.new_rows and not busy
        return Verdict(cause=told(trigger, seen) if due else "")
    value = seen.value if isinstance(seen, NumberSeen) else None
    if not trigger.crossed(value):
        return Verdict(cause="")
    if busy or (crossed_at is not None and not _again(trigger, crossed_at, now)):
        return Verdict(cause="", crossed_at=crossed_at)
    return Verdict(cause=told(trigger, seen), crossed_at=now)


def told(trigger: Trigger, seen: Sight) -> str:
    """What was seen, in a line: ``120 new rows in readings``, ``SELECT … gave 0.31, above 0.3``."""
    if isinstance(trigger, NewRows) and isinstance(seen, RowsSeen):
        least = "at least " if seen.count >= most_counted(trigger) else ""
        return f"{least}{seen.count} new rows in {trigger.collection}"
    value = seen.value if isinstance(seen, NumberSeen) else None
    if not isinstance(trigger, Threshold) or value is None:
        return "its query gave no number"
    return f"{_short(trigger.query)} gave {value:g}" + (f", {_limit(trigger)}" if trigger.crossed(value) else "")


def described(trigger: Trigger) -> str:
    """What the trigger waits for: ``100 new rows in readings``, ``SELECT … above 0.3``."""
    if isinstance(trigger, NewRows):
        return f"{trigger.new_rows} new rows in {trigger.collection}"
    return f"{_short(trigger.query)} {_limit(trigger)}"


def most_counted(trigger: NewRows) -> int:
    """How far new rows are counted."""
    return trigger.new_rows + COUNTED_BEYOND


def as_number(value: object) -> float | None:
    """The number that a query gave; None for NULL and for what is no number at all, such as NaN.

    Raises:
        ValueError: it gave something else.
    """
    if value is None:
        return None
    if isinstance(value, bool | int | float):
        number = float(value)
        return None if math.isnan(number) else number
    raise ValueError(f"the query gave {value!r:.100}, which is no number")


def _again(trigger: Threshold, crossed_at: datetime, now: datetime) -> bool:
    return trigger.again_after is not None and now - crossed_at >= timedelta(seconds=trigger.again_after)


def _limit(trigger: Threshold) -> str:
    return f"above {trigger.above:g}" if trigger.above is not None else f"below {trigger.below:g}"


def _short(sql: str) -> str:
    line = " ".join(sql.split())
    return line if len(line) <= 100 else f"{line[:99]}…"
