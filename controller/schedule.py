"""When a job is due: the only home of APScheduler, whose cron triggers know calendars."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from itertools import takewhile
from zoneinfo import ZoneInfo

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger

from controller.wall_clock import first_moment, moments, shown, turned_back_by
from schemas.errors import BadInput
from schemas.schedules import Schedule

TICK = timedelta(microseconds=1)
"""The shortest time that two moments can differ by."""

_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")  # as cron counts them, 7 is Sunday again
_A_MONDAY = datetime(2024, 1, 1, tzinfo=UTC)


def next_fire(schedule: Schedule, *, anchor: datetime, after: datetime) -> datetime | None:
    """The first time later than ``after`` at which the schedule is due, in UTC; None if never again.

    Cron follows the clock of its zone as Debian's cron does. A fixed time (neither minute nor hour begins with ``*``)
    that the clock is turned over is due when the clock has been turned; one that it shows twice is due the first time.
    A repeated time (``*/15 * * * *``) is due whenever the clock shows it: twice in one night, in the other not at all.

    Args:
        schedule: what the job says; due at its ``start`` and ``end`` too.
        anchor: what ``every`` counts from when the schedule has no ``start``.
        after: usually now.

    Raises:
        BadInput: a cron field is wrong.
    """
    if schedule.start is not None:
        after = max(after, schedule.start.astimezone(UTC) - TICK)
    due = _next(schedule, anchor, after.astimezone(UTC))
    return None if due is None or (schedule.end is not None and due > schedule.end) else due


def fires(schedule: Schedule, *, anchor: datetime, first: datetime, upto: datetime) -> Iterator[datetime]:
    """The times from ``first`` to ``upto``, both included, at which the schedule is due, in order."""
    due = next_fire(schedule, anchor=anchor, after=first - TICK)
    while due is not None and due <= upto:
        yield due
        due = next_fire(schedule, anchor=anchor, after=due)


def next_fires(schedule: Schedule, *, anchor: datetime, after: datetime, count: int) -> tuple[datetime, ...]:
    """The next ``count`` times later than ``after``; fewer if the schedule is over by then."""
    found: list[datetime] = []
    while len(found) < count:
        due = next_fire(schedule, anchor=anchor, after=found[-1] if found else after)
        if due is None:
            break
        found.append(due)
    return tuple(found)


def not_before(job: str, schedule: Schedule, *, anchor: datetime, tick: datetime) -> datetime | None:
    """When the run of a tick may start, if the schedule has a jitter.

    It depends on the job and the tick alone, so it is the same after a restart; and it lies before the next tick, so
    runs keep their order however large the jitter.
    """
    if schedule.jitter is None:
        return None
    longest = timedelta(seconds=schedule.jitter)
    following = next_fire(schedule, anchor=anchor, after=tick)
    if following is not None:
        longest = min(longest, following - tick - TICK)
    share = int.from_bytes(blake2b(f"{job} {tick.astimezone(UTC).isoformat()}".encode(), digest_size=6).digest())
    return tick + longest * (share / 2**48)


def check_schedule(schedule: Schedule) -> None:
    """Raise BadInput if a field of the schedule is wrong, or it can never be due."""
    if schedule.cron is not None and _trigger(schedule.cron).get_next_fire_time(None, _A_MONDAY) is None:
        raise BadInput(f"schedule.cron {schedule.cron!r} is on no day of any year")
    earliest = schedule.start or schedule.at
    if earliest is not None and next_fire(schedule, anchor=_A_MONDAY, after=earliest - TICK) is None:
        raise BadInput("schedule: it is never due between its start and its end")


def _next(schedule: Schedule, anchor: datetime, after: datetime) -> datetime | None:
    if schedule.every is not None:
        period, base = timedelta(seconds=schedule.every), (schedule.start or anchor).astimezone(UTC)
        return base + ((after - base) // period + 1) * period
    if schedule.at is not None:
        at = schedule.at.astimezone(UTC)
        return at if at > after else None
    return _next_by_cron(str(schedule.cron), ZoneInfo(schedule.timezone), after)


@lru_cache(maxsize=1024)
def _next_by_cron(text: str, zone: ZoneInfo, after: datetime) -> datetime | None:
    # Kept, for of many jobs that are due at once, most share their fields, and all are asked about the same moments.
    minute, hour, *_ = text.split()
    if minute.startswith("*") or hour.startswith("*"):
        return _next_repeated(_trigger(text), zone, after)
    return _next_fixed(_trigger(text), zone, after)


def _next_fixed(trigger: BaseTrigger, zone: ZoneInfo, after: datetime) -> datetime | None:
    return next(
        (due for wall in _walls(trigger, shown(after, zone)) if (due := first_moment(wall, zone)) > after), None
    )


def _next_repeated(trigger: BaseTrigger, zone: ZoneInfo, after: datetime) -> datetime | None:
    now = shown(after, zone)
    found = (due for wall in _walls(trigger, now) for due in moments(wall, zone) if due > after)
    due = next(found, None)
    back = turned_back_by(now, zone)
    if not back or now.fold or (due is not None and due - after < back and turned_back_by(shown(due, zone), zone)):
        return due
    # The clock is about to be turned back, and shows times anew that lie before the present one.
    before = takewhile(lambda wall: wall <= now, _walls(trigger, now - back))
    again = (moments(wall, zone)[1] for wall in before if turned_back_by(wall, zone))
    return min((moment for moment in (due, next(again, None)) if moment is not None), default=None)


def _walls(trigger: BaseTrigger, after: datetime) -> Iterator[datetime]:
    """What clocks show when the trigger is due, from ``after`` on; it reckons in UTC, which is never turned."""
    wall = after.replace(tzinfo=UTC, fold=0)
    while True:
        due: datetime | None = trigger.get_next_fire_time(None, wall + TICK)
        if due is None:
            return
        wall = due
        yield wall.replace(tzinfo=None)


@lru_cache(maxsize=4096)
def _trigger(text: str) -> BaseTrigger:
    """Five fields as crontab(5) reads them: Sunday is 0 and 7, and a day may fit either of two day fields."""
    minute, hour, day, month, weekday = text.split()
    try:
        time = {"minute": minute, "hour": hour, "month": month, "timezone": UTC}
        weekdays = ",".join(_weekdays(part) for part in weekday.lower().split(","))
        if "*" in (day, weekday):
            return CronTrigger(day=day, day_of_week=weekdays, **time)
        return OrTrigger([CronTrigger(day=day, **time), CronTrigger(day_of_week=weekdays, **time)])
    except ValueError as error:
        raise BadInput(f"schedule.cron {text!r}: {error}") from error


def _weekdays(part: str) -> str:
    """One weekday, range or step by name, since APScheduler's numbers start on Monday."""
    span, _, step = part.partition("/")
    if span == "*" and not step:
        return "*"
    first, _, last = ("0-6" if span == "*" else span).partition("-")
    start, end = _weekday_number(first), _weekday_number(last or ("6" if step else first))
    if end < start:
        raise ValueError(f"weekday {part!r} runs backwards")
    return ",".join(_WEEKDAYS[number % 7] for number in range(start, end + 1, int(step or "1")))


def _weekday_number(text: str) -> int:
    if text in _WEEKDAYS:
        return _WEEKDAYS.index(text)
    if not text.isdecimal() or int(text) > 7:
        raise ValueError(f"{text!r} is no weekday (0-7 or sun-sat)")
    return int(text)
