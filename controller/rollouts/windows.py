"""Whether an edge may be changed now, by its maintenance windows, and if not, when. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from controller.schedule import next_fire
from schemas.maintenance import MaintenanceWindow


@dataclass(frozen=True, slots=True)
class Opening:
    """Whether an edge may be changed, and until or from when that is so."""

    open: bool
    changes_at: datetime | None = None  # when to look again; None: it stays as it is
    window: str = ""  # the one that is open, or that opens next


ALWAYS = Opening(open=True)


def opening(windows: Iterable[MaintenanceWindow], *, edge: str, labels: dict[str, str], now: datetime) -> Opening:
    """Whether an edge may be changed.

    Args:
        windows: all that there are.
        edge: its name.
        labels: those that it was given.
        now: aware.
    """
    ours = [window for window in windows if window.is_of(edge, labels)]
    if not ours:
        return ALWAYS
    ends = {window.name: end for window in ours if (end := open_until(window, now)) is not None}
    if ends:
        last = max(ends, key=lambda name: ends[name])
        return Opening(open=True, changes_at=ends[last], window=last)
    starts = {window.name: start for window in ours if (start := opens_next(window, now)) is not None}
    first = min(starts, key=lambda name: starts[name], default="")
    return Opening(open=False, changes_at=starts.get(first), window=first or ours[0].name)


def open_until(window: MaintenanceWindow, now: datetime) -> datetime | None:
    """When a window that is open now closes, if it does not open anew before; None if it is closed."""
    lasts = timedelta(seconds=window.lasts)
    start = next_fire(window.schedule, anchor=now, after=now - lasts)
    return start + lasts if start is not None and start <= now else None


def opens_next(window: MaintenanceWindow, now: datetime) -> datetime | None:
    """When a window opens next; None if never again."""
    return next_fire(window.schedule, anchor=now, after=now)
