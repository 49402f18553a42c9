"""What becomes of ticks that passed while nobody could fire them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.runs.misfires import COUNTED, RUNS_AT_ONCE, Firing, firing, newest_fires
from controller.schedule import fires
from schemas.schedules import MisfirePolicy, Schedule

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOURLY = Schedule(cron="0 * * * *")


def plan(away: timedelta, schedule: Schedule = HOURLY, cursor: datetime = NOON, **misfire: object) -> Firing:
    """What is done when the tick at ``cursor`` could be fired only so much later."""
    policy = MisfirePolicy.model_validate(misfire)
    return firing(schedule, policy, anchor=NOON, cursor=cursor, now=cursor + away)


def hours(*after_noon: int) -> tuple[datetime, ...]:
    """Ticks of the hourly job."""
    return tuple(NOON + timedelta(hours=hour) for hour in after_noon)


@pytest.mark.parametrize("policy", ["skip", "run_once", "catch_up"])
def test_a_tick_in_time_is_fired_whatever_the_policy(policy: str) -> None:
    """Up to the grace, late is not missed."""
    found = plan(timedelta(seconds=60), policy=policy)
    assert found == Firing(ticks=hours(0), missed=None, next=NOON + timedelta(hours=1))


def test_skip_lets_missed_ticks_go_and_tells_of_them() -> None:
    """Only what is in time runs; the others are counted, and the schedule goes on."""
    found = plan(timedelta(hours=3, minutes=30), policy="skip")
    assert (found.ticks, found.next) == ((), NOON + timedelta(hours=4))
    assert str(found.missed) == "4 ticks were missed, from 2026-11-20 12:00:00 UTC to 2026-11-20 15:00:00 UTC"
    in_time = plan(timedelta(hours=3, seconds=30), policy="skip")
    assert in_time.ticks == hours(3)
    assert in_time.missed is not None
    assert in_time.missed.count == 3


def test_run_once_makes_one_run_of_all() -> None:
    """It is that of the newest tick, missed or in time, and stands for the others."""
    late = plan(timedelta(hours=3, minutes=30), policy="run_once")
    assert late.ticks == hours(3)
    assert str(late.missed) == "3 ticks were missed, from 2026-11-20 12:00:00 UTC to 2026-11-20 14:00:00 UTC"
    joined = plan(timedelta(minutes=5), Schedule(every=1), policy="run_once")
    assert joined.ticks == (NOON + timedelta(minutes=5),)
    assert joined.missed is not None
    assert joined.missed.count == 300
    single = plan(timedelta(minutes=30), policy="run_once")
    assert (single.ticks, single.missed) == (hours(0), None)


def test_catch_up_is_capped_by_number_and_by_age() -> None:
    """The newest ticks are made up for; what lies further back is let go."""
    everything = plan(timedelta(hours=3, minutes=30), policy="catch_up")
    assert (everything.ticks, everything.missed) == (hours(0, 1, 2, 3), None)
    capped = plan(timedelta(hours=3, minutes=30), policy="catch_up", most=2)
    assert capped.ticks == hours(2, 3)
    assert str(capped.missed) == "2 ticks were missed, from 2026-11-20 12:00:00 UTC to 2026-11-20 13:00:00 UTC"
    recent = plan(timedelta(hours=3, minutes=30), policy="catch_up", window=3600)
    assert recent.ticks == hours(3)
    assert plan(timedelta(days=40, minutes=30), policy="catch_up", window=1200).ticks == ()


def test_a_clock_that_jumps_far_ahead_costs_no_million_steps() -> None:
    """Ninety years of a job that is due every second: the newest tick, a count that ends, and where it goes on."""
    found = plan(timedelta(days=90 * 365), Schedule(every=1), policy="run_once")
    assert found.ticks == (NOON + timedelta(days=90 * 365),)
    assert found.missed is not None
    assert found.missed.count == COUNTED
    assert str(found.missed).startswith("at least 1000 ticks were missed")
    assert found.next == NOON + timedelta(days=90 * 365, seconds=1)


def test_many_runs_come_in_several_transactions() -> None:
    """A job that makes up for many ticks fires so many at once, and the next transaction goes on behind them."""
    schedule = Schedule(every=60)
    away, cursor = timedelta(hours=5, seconds=90), NOON
    ticks: list[datetime] = []
    while cursor <= NOON + away:
        found = firing(
            schedule,
            MisfirePolicy(policy="catch_up", most=300),
            anchor=NOON,
            cursor=cursor,
            now=NOON + away,
        )
        assert len(found.ticks) <= RUNS_AT_ONCE
        assert found.next is not None
        cursor = found.next
        ticks += found.ticks
    assert ticks == [NOON + timedelta(minutes=minute) for minute in range(1, 302)]  # one was in time


def test_a_schedule_that_is_over_has_no_next() -> None:
    """The last tick is fired even if it is late, and then there is none."""
    once = Schedule(at=NOON)
    assert plan(timedelta(hours=2), once, policy="run_once") == Firing(ticks=(NOON,), missed=None, next=None)
    let_go = plan(timedelta(hours=2), once, policy="skip")
    assert (let_go.ticks, let_go.next) == ((), None)
    assert str(let_go.missed) == "1 tick was missed, 2026-11-20 12:00:00 UTC"


@given(
    policy=st.sampled_from(["skip", "run_once", "catch_up"]),
    away_s=st.integers(0, 40_000),
    grace=st.integers(5, 5_000),
    most=st.integers(1, 30),
    window=st.integers(60, 50_000),
    cron=st.sampled_from(["*/10 * * * *", "0 */3 * * *", "5,50 7-15 * * *"]),
)
def test_every_tick_runs_or_is_let_go(policy: str, away_s: int, grace: int, most: int, window: int, cron: str) -> None:
    """Fired and let go together are all ticks, none twice; none is left behind the cursor; and the policy is kept."""
    schedule, now = Schedule(cron=cron), NOON + timedelta(seconds=away_s)
    misfire = MisfirePolicy.model_validate({"policy": policy, "grace": grace, "most": most, "window": window})
    (cursor, *rest) = fires(schedule, anchor=NOON, first=NOON, upto=now + timedelta(days=1))
    if cursor > now:
        return
    found = firing(schedule, misfire, anchor=NOON, cursor=cursor, now=now)
    all_ticks = [cursor, *(tick for tick in rest if tick <= now)]
    missed = [tick for tick in all_ticks if tick < now - timedelta(seconds=grace)]
    in_time = [tick for tick in all_ticks if tick not in missed]
    kept = {
        "skip": [],
        "run_once": all_ticks[-1:] if missed else [],
        "catch_up": [tick for tick in missed if tick >= now - timedelta(seconds=window)][-most:],
    }[policy]
    fired = kept if kept and policy == "run_once" else kept + in_time
    let_go = [tick for tick in all_ticks if tick not in fired]
    assert list(found.ticks) == fired
    assert found.next == next(tick for tick in rest if tick > now)
    if let_go:
        assert found.missed is not None
        assert (found.missed.count, found.missed.first, found.missed.newest) == (len(let_go), let_go[0], let_go[-1])
    else:
        assert found.missed is None


@given(count=st.integers(1, 50), hours_back=st.integers(0, 3_000))
def test_the_newest_ticks_are_found_backwards(count: int, hours_back: int) -> None:
    """However far apart ticks lie, the newest are those that counting all of them from the start gives."""
    schedule, first = Schedule(cron="17 3,4 * * 2"), NOON - timedelta(hours=hours_back)
    every_one = list(fires(schedule, anchor=NOON, first=first, upto=NOON))
    assert newest_fires(schedule, anchor=NOON, first=first, upto=NOON, count=count) == every_one[-count:]
