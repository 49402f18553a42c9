"""Which ticks of a job become runs now, and which were missed and are let go. Pure.

A tick that nobody could fire within ``misfire.grace`` was missed. What then becomes of it, the job says:

* ``skip``: nothing.
* ``run_once``: it and all that have come since are one run: that of the newest of them.
* ``catch_up``: one run for each, of the newest ``most`` that are not older than ``window``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from controller.schedule import TICK, fires, next_fire
from schemas.schedules import MisfirePolicy, Schedule

RUNS_AT_ONCE = 100
"""A job fires no more often in one transaction; the ticks behind that come in the next one."""

COUNTED = 1000
"""More missed ticks than this are not counted one by one: a clock that jumps ahead passes millions."""

_FIRST_LOOK_BACK = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Missed:
    """Ticks that are let go."""

    count: int  # at most COUNTED: then there may be more
    first: datetime
    newest: datetime

    def __str__(self) -> str:
        """How a person is told of them."""
        if self.count == 1:
            return f"1 tick was missed, {_text(self.newest)}"
        many = f"at least {self.count}" if self.count >= COUNTED else str(self.count)
        return f"{many} ticks were missed, from {_text(self.first)} to {_text(self.newest)}"


@dataclass(frozen=True, slots=True)
class Firing:
    """What is to be done about the ticks of a job that have come."""

    ticks: tuple[datetime, ...]  # each becomes a run; oldest first
    missed: Missed | None
    next: datetime | None  # where the schedule goes on; may have come, too


def firing(schedule: Schedule, misfire: MisfirePolicy, *, anchor: datetime, cursor: datetime, now: datetime) -> Firing:
    """What to do about the ticks from ``cursor`` to ``now``; bounded work, however many there are."""
    edge = max(cursor, now - timedelta(seconds=misfire.grace))  # ticks before it were missed
    ticks = list(islice(fires(schedule, anchor=anchor, first=edge, upto=now), RUNS_AT_ONCE))
    missed: Missed | None = None
    if cursor < edge:
        before = edge
        if misfire.policy == "run_once":
            ticks = newest_fires(schedule, anchor=anchor, first=cursor, upto=now, count=1)
            before = ticks[0] if ticks else edge
        elif misfire.policy == "catch_up":
            first = max(cursor, now - timedelta(seconds=misfire.window))
            kept = newest_fires(schedule, anchor=anchor, first=first, upto=edge - TICK, count=misfire.most)
            ticks, before = [*kept, *ticks][:RUNS_AT_ONCE], kept[0] if kept else edge
        missed = _let_go(schedule, anchor=anchor, first=cursor, before=before)
    return Firing(tuple(ticks), missed, next_fire(schedule, anchor=anchor, after=ticks[-1] if ticks else now))


def _let_go(schedule: Schedule, *, anchor: datetime, first: datetime, before: datetime) -> Missed | None:
    newest = newest_fires(schedule, anchor=anchor, first=first, upto=before - TICK, count=1)
    if not newest:
        return None
    count = sum(1 for _ in islice(fires(schedule, anchor=anchor, first=first, upto=before - TICK), COUNTED))
    return Missed(count=count, first=first, newest=newest[-1])


def newest_fires(
    schedule: Schedule, *, anchor: datetime, first: datetime, upto: datetime, count: int
) -> list[datetime]:
    """The newest ``count`` times from ``first`` to ``upto`` at which the schedule is due, oldest first."""
    for start in _backwards(first, upto):
        found = list(fires(schedule, anchor=anchor, first=start, upto=upto))
        if len(found) >= count or start == first:
            return found[-count:]
    return []


def _backwards(first: datetime, upto: datetime) -> Iterator[datetime]:
    """Earlier and earlier starts, down to ``first``: schedules tell what comes next, not what came before."""
    back = _FIRST_LOOK_BACK
    while upto - first > back:
        yield upto - back
        back *= 4
    if first <= upto:
        yield first


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
