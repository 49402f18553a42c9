"""When a job is due next: the only home of APScheduler, whose triggers know calendars and daylight saving."""

from datetime import UTC, datetime, timedelta

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from schemas.errors import BadInput
from schemas.schedules import Schedule

_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")  # as cron counts them, 7 is Sunday again


def next_fire(schedule: Schedule, *, anchor: datetime, after: datetime) -> datetime | None:
    """The first time later than ``after`` at which the schedule is due, in UTC; None if never again.

    Args:
        schedule: what the job says.
        anchor: what ``every`` counts from; the first firing is one period later.
        after: usually now.

    Raises:
        BadInput: a cron field is wrong.
    """
    due = _trigger(schedule, anchor).get_next_fire_time(None, after + timedelta(microseconds=1))
    if due is None or due <= after:  # a date in the past is still given once
        return None
    moment: datetime = due.astimezone(UTC)
    return moment


def check_schedule(schedule: Schedule) -> None:
    """Raise BadInput if a field of the schedule is wrong."""
    _trigger(schedule, datetime.now(UTC))


def _trigger(schedule: Schedule, anchor: datetime) -> BaseTrigger:
    if schedule.every is not None:
        return IntervalTrigger(seconds=schedule.every, start_date=anchor + timedelta(seconds=schedule.every))
    if schedule.at is not None:
        return DateTrigger(schedule.at)
    return _cron(str(schedule.cron), schedule.timezone)


def _cron(text: str, timezone: str) -> BaseTrigger:
    """Five fields as crontab(5) reads them: Sunday is 0 and 7, and a day may fit either of two day fields."""
    minute, hour, day, month, weekday = text.split()
    try:
        time = {"minute": minute, "hour": hour, "month": month, "timezone": timezone}
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
