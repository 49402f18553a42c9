"""When jobs are due."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.schedule import check_schedule, fires, next_fire, next_fires, not_before
from schemas.errors import BadInput
from schemas.schedules import Schedule

MONDAY = datetime(2026, 3, 30, 5, 0, tzinfo=UTC)


def due(after: datetime = MONDAY, anchor: datetime = MONDAY, **schedule: object) -> datetime | None:
    """When such a schedule is due after ``after``."""
    return next_fire(Schedule.model_validate(schedule), anchor=anchor, after=after)


def test_a_period_counts_from_its_anchor() -> None:
    """However late one asks, the next firing lies a whole number of periods after the anchor."""
    assert due(every="90s") == datetime(2026, 3, 30, 5, 1, 30, tzinfo=UTC)
    assert due(after=datetime(2026, 3, 30, 5, 4, tzinfo=UTC), every="90s") == datetime(
        2026, 3, 30, 5, 4, 30, tzinfo=UTC
    )


def test_a_time_that_is_due_now_is_not_due_again() -> None:
    """Asking at a firing gives the one after it, so no tick is seen twice."""
    assert due(after=datetime(2026, 3, 30, 5, 1, 30, tzinfo=UTC), every="90s") == datetime(
        2026, 3, 30, 5, 3, tzinfo=UTC
    )
    assert due(cron="0 5 * * *") == datetime(2026, 3, 31, 5, 0, tzinfo=UTC)


def test_a_single_time_is_due_once() -> None:
    """`at` fires when it is ahead and never when it has passed."""
    ahead = datetime(2026, 4, 1, tzinfo=UTC)
    assert due(at=ahead) == ahead
    assert due(at=ahead, after=ahead) is None


@pytest.mark.parametrize("sunday", ["0", "7", "sun", "0,7"])
def test_sunday_is_zero_as_in_crontab(sunday: str) -> None:
    """Weekday numbers are crontab's, not APScheduler's."""
    assert due(cron=f"0 5 * * {sunday}") == datetime(2026, 4, 5, 5, 0, tzinfo=UTC)


def test_either_day_field_fits() -> None:
    """With both day fields given, a day that fits one of them is enough, as in crontab."""
    assert due(cron="0 0 13 * fri") == datetime(2026, 4, 3, tzinfo=UTC)


def test_local_time_moves_with_daylight_saving() -> None:
    """Eight in Paris is seven in UTC in winter and six in summer."""
    winter = due(after=datetime(2026, 3, 28, 12, tzinfo=UTC), cron="0 8 * * 1-5", timezone="Europe/Paris")
    before = due(after=datetime(2026, 3, 26, 12, tzinfo=UTC), cron="0 8 * * 1-5", timezone="Europe/Paris")
    assert before == datetime(2026, 3, 27, 7, 0, tzinfo=UTC)
    assert winter == datetime(2026, 3, 30, 6, 0, tzinfo=UTC)


@pytest.mark.parametrize("text", ["61 * * * *", "* * * * 8", "* * * * fri-mon", "a b c d e", "* * 0 * *"])
def test_a_wrong_cron_field_is_named(text: str) -> None:
    """What crontab would not take is refused with the text itself."""
    with pytest.raises(BadInput, match=r"schedule\.cron"):
        due(cron=text)


def test_bounds_belong_to_the_schedule() -> None:
    """A schedule is due at its start and at its end, and neither before nor after."""
    bounds: dict[str, Any] = {"start": "2026-03-30T06:00Z", "end": "2026-03-30T08:00Z"}
    schedule = Schedule.model_validate({"every": "1h", **bounds})
    hours = [datetime(2026, 3, 30, hour, tzinfo=UTC) for hour in (6, 7, 8)]
    assert list(next_fires(schedule, anchor=MONDAY, after=MONDAY, count=5)) == hours
    assert due(cron="0 * * * *", after=hours[1], **bounds) == hours[2]
    assert due(cron="0 * * * *", after=hours[2], **bounds) is None
    assert due(at="2026-03-30T09:00Z", **bounds) is None


def test_a_period_counts_from_its_start() -> None:
    """With a start the first firing is the start itself, and the anchor no longer matters."""
    start = MONDAY + timedelta(minutes=7)
    assert due(every="1h", start=start) == start
    assert due(every="1h", start=start, after=start) == start + timedelta(hours=1)


@given(
    every=st.floats(1, 1e8),
    behind_s=st.integers(-(10**9), 10**9),
    fraction=st.integers(0, 999_999),
)
def test_a_period_has_one_grid_for_ever(every: float, behind_s: int, fraction: int) -> None:
    """Wherever one asks, the next firing is at most a period away, a whole number of periods from the anchor."""
    after = MONDAY + timedelta(seconds=behind_s, microseconds=fraction)
    period, found = timedelta(seconds=every), due(every=every, after=after)
    assert found is not None
    assert after < found <= after + period
    assert (found - MONDAY) % period == timedelta(0)


def test_the_next_fires_are_those_that_come() -> None:
    """What is shown as the next five times is what following the schedule step by step gives."""
    schedule = Schedule.model_validate({"cron": "*/20 8-9 * * mon", "timezone": "Asia/Tokyo"})
    shown = next_fires(schedule, anchor=MONDAY, after=MONDAY, count=5)
    assert len(shown) == 5
    for before, found in pairwise([MONDAY, *shown]):
        assert next_fire(schedule, anchor=MONDAY, after=before) == found


def test_a_fixed_time_that_the_clock_skips_is_due_when_it_has_been_turned() -> None:
    """Half past two does not exist in Berlin on 29 March 2026: the job runs at three, and the next day as ever."""
    found = due(cron="30 2 * * *", timezone="Europe/Berlin", after=datetime(2026, 3, 28, 12, tzinfo=UTC))
    assert found == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    assert due(cron="30 2 * * *", timezone="Europe/Berlin", after=found) == datetime(2026, 3, 30, 0, 30, tzinfo=UTC)


def test_two_fixed_times_that_the_clock_skips_are_one() -> None:
    """Both fall on the moment at which the clock is turned, which is one tick; one at three itself, too."""
    ticks = next_fires(
        Schedule(cron="0,30 2,3 * * *", timezone="Europe/Berlin"),
        anchor=MONDAY,
        after=datetime(2026, 3, 28, 12, tzinfo=UTC),
        count=3,
    )
    assert ticks == (
        datetime(2026, 3, 29, 1, 0, tzinfo=UTC),
        datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
        datetime(2026, 3, 30, 0, 0, tzinfo=UTC),
    )


def test_a_fixed_time_that_comes_twice_is_due_once() -> None:
    """Half past two comes twice in Berlin on 25 October 2026: the first one counts."""
    found = due(cron="30 2 * * *", timezone="Europe/Berlin", after=datetime(2026, 10, 24, 12, tzinfo=UTC))
    assert found == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert due(cron="30 2 * * *", timezone="Europe/Berlin", after=found) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize("day", [datetime(2026, 3, 28, 22, tzinfo=UTC), datetime(2026, 10, 24, 22, tzinfo=UTC)])
def test_a_repeated_time_goes_on_while_the_clock_is_turned(day: datetime) -> None:
    """Every quarter of an hour is every quarter of an hour, in the short night and in the long one."""
    schedule = Schedule(cron="*/15 * * * *", timezone="Europe/Berlin")
    ticks = next_fires(schedule, anchor=MONDAY, after=day, count=30)
    assert [after - before for before, after in pairwise(ticks)] == [timedelta(minutes=15)] * 29


def test_a_repeated_time_of_one_hour_follows_the_clock() -> None:
    """`*/20 2 * * *` is due twice as often in the night that has two o'clock twice, and not at all in the other."""
    schedule = Schedule(cron="*/20 2 * * *", timezone="Europe/Berlin")
    ticks = next_fires(schedule, anchor=MONDAY, after=datetime(2026, 10, 24, 12, tzinfo=UTC), count=7)
    assert ticks[:6] == tuple(
        datetime(2026, 10, 25, hour, minute, tzinfo=UTC) for hour in (0, 1) for minute in (0, 20, 40)
    )
    assert ticks[6] == datetime(2026, 10, 26, 1, 0, tzinfo=UTC)
    ahead = next_fire(schedule, anchor=MONDAY, after=datetime(2026, 3, 28, 12, tzinfo=UTC))
    assert ahead == datetime(2026, 3, 30, 0, 0, tzinfo=UTC)


@given(
    minute=st.sampled_from(["*", "*/7", "0", "30", "5,35"]),
    hour=st.sampled_from(["*", "*/2", "1", "2", "2-3", "0,2"]),
    zone=st.sampled_from(
        ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Havana"]
    ),
    change=st.sampled_from([(2026, 3, 8), (2026, 3, 29), (2026, 4, 5), (2026, 10, 4), (2026, 10, 25), (2026, 11, 1)]),
)
@settings(max_examples=60)
def test_cron_follows_the_clock_on_the_wall(minute: str, hour: str, zone: str, change: tuple[int, int, int]) -> None:
    """Round every change of daylight saving, the ticks are those that watching the clock minute by minute gives."""
    schedule = Schedule(cron=f"{minute} {hour} * * *", timezone=zone)
    first = datetime(*change, tzinfo=UTC) - timedelta(hours=30)
    upto = first + timedelta(hours=72)
    assert list(fires(schedule, anchor=MONDAY, first=first, upto=upto)) == watched(schedule, first, upto)


def watched(schedule: Schedule, first: datetime, upto: datetime) -> list[datetime]:
    """The ticks as Debian's cron would see them, which wakes each minute and looks at the clock."""
    minute, hour, *_ = str(schedule.cron).split()
    minutes, hours = numbers(minute, 60), numbers(hour, 24)
    repeated = minute.startswith("*") or hour.startswith("*")
    zone, found = ZoneInfo(schedule.timezone), []
    last = (first - timedelta(hours=3)).astimezone(zone).replace(tzinfo=None)  # the latest time that was shown
    moment = first - timedelta(hours=3)
    while moment <= upto:
        now = moment.astimezone(zone).replace(tzinfo=None, fold=0)
        shown = [now] if now > last or repeated else []
        if not repeated:
            while now - last > timedelta(minutes=1):  # the clock was turned on
                last += timedelta(minutes=1)
                shown.append(last)
        last = max(now, last)
        if moment >= first and any(wall.minute in minutes and wall.hour in hours for wall in shown):
            found.append(moment)
        moment += timedelta(minutes=1)
    return found


def numbers(field: str, end: int) -> set[int]:
    """What one field of a cron line stands for."""
    if field.startswith("*"):
        return set(range(0, end, int(field.partition("/")[2] or 1)))
    spans = (part.partition("-") for part in field.split(","))
    return {number for low, _, high in spans for number in range(int(low), int(high or low) + 1)}


def test_a_jitter_delays_the_same_tick_alike() -> None:
    """It lies between nothing and the jitter, spreads jobs, and is the same whoever asks and whenever."""
    schedule = Schedule.model_validate({"every": "1h", "jitter": "10m"})

    def delay(job: str, hour: int) -> timedelta:
        tick = MONDAY + timedelta(hours=hour)
        found = not_before(job, schedule, anchor=MONDAY, tick=tick)
        assert found == not_before(job, schedule, anchor=MONDAY, tick=tick.astimezone(ZoneInfo("Asia/Tokyo")))
        assert found is not None
        return found - tick

    delays = {delay(f"job-{number % 20}", number) for number in range(200)}
    assert len(delays) == 200
    assert min(delays) >= timedelta(0)
    assert timedelta(minutes=9) < max(delays) <= timedelta(minutes=10)
    assert not_before("job", Schedule(every=60), anchor=MONDAY, tick=MONDAY) is None


@given(jitter=st.floats(1, 1e6), every=st.floats(1, 1e4), job=st.text(max_size=20))
def test_no_jitter_reorders_ticks(jitter: float, every: float, job: str) -> None:
    """However large it is, a run may start before the tick after its own, so runs keep their order."""
    schedule = Schedule(every=every, jitter=jitter)
    ticks = next_fires(schedule, anchor=MONDAY, after=MONDAY, count=5)
    starts = [not_before(job, schedule, anchor=MONDAY, tick=tick) for tick in ticks]
    assert all(tick <= start for tick, start in zip(ticks, starts, strict=True) if start)
    assert starts == sorted(start for start in starts if start)
    assert all(start < tick for start, tick in zip(starts, ticks[1:], strict=False) if start)


@pytest.mark.parametrize(
    ("schedule", "why"),
    [
        ({"cron": "0 0 30 2 *"}, "on no day of any year"),
        ({"at": "2026-01-01T00:00Z", "end": "2025-01-01T00:00Z"}, "never due"),
        ({"cron": "0 0 1 1 *", "start": "2026-02-01T00:00Z", "end": "2026-03-01T00:00Z"}, "never due"),
    ],
)
def test_a_schedule_that_is_never_due_is_refused(schedule: dict[str, str], why: str) -> None:
    """A date that no year has, or bounds that leave nothing, are mistakes; a time that has passed is none."""
    with pytest.raises(BadInput, match=why):
        check_schedule(Schedule.model_validate(schedule))
    check_schedule(Schedule.model_validate({"at": "2020-01-01T00:00Z"}))
    check_schedule(Schedule.model_validate({"cron": "0 0 29 2 *", "end": "2020-01-01T00:00Z"}))
