"""From what a clock on the wall shows to moments, also where daylight saving turns it. Pure."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_SECOND = timedelta(seconds=1)


def shown(moment: datetime, zone: ZoneInfo) -> datetime:
    """What the clock of a zone shows at a moment, without zone; ``fold`` is 1 when it shows it for the second time."""
    return moment.astimezone(zone).replace(tzinfo=None)


def moments(wall: datetime, zone: ZoneInfo) -> tuple[datetime, ...]:
    """When a clock shows this, in UTC: once, twice where it is turned back, never where it is turned forward."""
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first == second:
        return (first,)
    return (first, second) if first < second else ()


def first_moment(wall: datetime, zone: ZoneInfo) -> datetime:
    """When a clock first shows this or, turned forward over it, something later; in UTC."""
    found = moments(wall, zone)
    if found:
        return found[0]
    # Of a time that is left out, one reading lies before the clock is turned and the other one after it.
    before, after = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (1, 0))
    offset = before.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = before + (after - before) // 2
        middle = middle.replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)


def turned_back_by(wall: datetime, zone: ZoneInfo) -> timedelta:
    """By how much the clock is turned back so that it shows this twice; zero if it shows it once."""
    found = moments(wall, zone)
    return found[-1] - found[0] if found else timedelta(0)
