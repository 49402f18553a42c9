"""Jobs and their next times in the control database: edits, pauses, jitter, missed ticks, clocks that are set."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session, col, select

from controller.runs.ticks import Ticks
from controller.schedule import not_before
from controller.stores.database import Database, open_database
from controller.stores.jobs import JOBS_AT_ONCE, ahead_of_clock, fire_due, get_job, next_due, save_job, set_back
from controller.stores.tables import RunRow
from schemas.jobs import JobSpec
from schemas.schedules import Schedule

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def job(**changes: Any) -> JobSpec:
    """A job that is due every hour."""
    written = {"name": "retrain", "model": "iris", "edge": "press-1", "scripts": ["train.py"]}
    return JobSpec.model_validate({**written, "schedule": {"every": "1h"}} | changes)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """A transaction in an empty control database."""
    opened = open_database(f"sqlite:///{tmp_path / 'control.db'}")
    with opened.transaction() as session:
        yield session
    opened.close()


@pytest.fixture
def save(session: Session) -> Callable[..., datetime | None]:
    """Save a job so many minutes later, and tell when it is due next."""

    def save_and_tell(minutes: float, **changes: Any) -> datetime | None:
        save_job(session, spec=job(**changes), now=NOW + minutes * MINUTE)
        assert runs(session) == []  # no edit ever fires
        return get_job(session, name="retrain")[0].next_fire_at

    return save_and_tell


def runs(session: Session, state: str | None = None) -> list[RunRow]:
    """The job's runs, oldest tick first."""
    wanted = select(RunRow).order_by(col(RunRow.scheduled_at))
    return list(session.exec(wanted if state is None else wanted.where(RunRow.state == state)))


def test_an_edit_of_something_else_keeps_the_next_time(save: Callable[..., datetime | None]) -> None:
    """Parameters, policies, jitter: the job stays due when it was, even if that moment has come meanwhile."""
    assert save(0) == NOW + HOUR
    assert save(10, params={"epochs": 3}, misfire="skip", overlap="queue", priority=7) == NOW + HOUR
    assert save(20, schedule={"every": "1h", "jitter": "5m"}) == NOW + HOUR
    assert save(61, params={"epochs": 4}, schedule={"every": "1h", "jitter": "5m"}) == NOW + HOUR


def test_a_new_period_counts_from_the_edit(save: Callable[..., datetime | None]) -> None:
    """Editing ``every`` starts a new rhythm; editing the bounds does not."""
    assert save(0) == NOW + HOUR
    assert save(10, schedule={"every": "2h"}) == NOW + 10 * MINUTE + 2 * HOUR
    until = (NOW + 5 * HOUR).isoformat()
    assert save(20, schedule={"every": "2h", "end": until}) == NOW + 10 * MINUTE + 2 * HOUR
    assert save(30, schedule={"every": "2h", "end": (NOW + HOUR).isoformat()}) is None


def test_another_kind_of_schedule_is_due_by_itself(save: Callable[..., datetime | None]) -> None:
    """From a period to a time of day, to a single time, to none and back: always the next one from the edit on."""
    assert save(0) == NOW + HOUR
    assert save(1, schedule={"cron": "0 12 * * *"}) == NOW + 4 * HOUR
    assert save(2, schedule={"cron": "0 12 * * *", "timezone": "Asia/Tokyo"}) == NOW + 19 * HOUR
    assert save(3, schedule={"at": (NOW + 2 * HOUR).isoformat()}) == NOW + 2 * HOUR
    assert save(4, schedule=None) is None
    assert save(5) == NOW + HOUR + 5 * MINUTE


def test_a_pause_lets_ticks_go_without_a_word(save: Callable[..., datetime | None], session: Session) -> None:
    """Resumed, the job goes on in its old rhythm: what it would have done meanwhile is no misfire."""
    assert save(0) == NOW + HOUR
    assert save(30, paused=True) is None
    assert save(40, paused=True, params={"epochs": 3}) is None
    assert fire_due(session, now=NOW + 5 * HOUR) == []
    assert save(330, params={"epochs": 3}) == NOW + 6 * HOUR
    assert fire_due(session, now=NOW + 330 * MINUTE) == []


def test_a_schedule_edited_during_a_pause_waits_for_its_end(save: Callable[..., datetime | None]) -> None:
    """The new rhythm counts from the edit, and the job is due by it once it is resumed."""
    assert save(0, paused=True) is None
    assert save(10, schedule={"every": "7m"}, paused=True) is None
    assert save(20, schedule={"every": "7m"}) == NOW + 24 * MINUTE


def test_a_single_time_that_passed_during_a_pause_is_over(save: Callable[..., datetime | None]) -> None:
    """Resuming fires nothing that is past."""
    at = {"at": (NOW + HOUR).isoformat()}
    assert save(0, schedule=at) == NOW + HOUR
    assert save(1, schedule=at, paused=True) is None
    assert save(90, schedule=at) is None


def test_jitter_delays_the_run_and_leaves_the_tick(session: Session) -> None:
    """The tick stays when it is; when its run may start is the same after a crash, and between tick and jitter."""
    schedule = {"every": "1h", "jitter": "10m"}
    save_job(session, spec=job(schedule=schedule), now=NOW)
    (fired,) = fire_due(session, now=NOW + HOUR)
    (run,) = fired.runs
    assert run.scheduled_at == NOW + HOUR
    start = not_before("retrain", Schedule.model_validate(schedule), anchor=NOW, tick=NOW + HOUR)
    assert run.not_before == start
    assert start is not None
    assert NOW + HOUR <= start <= NOW + HOUR + 10 * MINUTE
    assert next_due(session) == NOW + 2 * HOUR


def test_ticks_let_go_leave_one_skipped_run_that_says_why(session: Session) -> None:
    """Who asks why it did not run at three finds the answer among the runs."""
    save_job(session, spec=job(misfire="skip"), now=NOW)
    (fired,) = fire_due(session, now=NOW + 5.5 * HOUR)
    assert fired.runs == ()
    (run,) = runs(session)
    assert (run.state, run.scheduled_at) == ("skipped", NOW + 5 * HOUR)
    assert run.reason == (
        "5 ticks were missed, from 2026-11-20 09:00:00 UTC to 2026-11-20 13:00:00 UTC: "
        "nobody could fire in time, and the job's misfire policy is skip"
    )
    assert next_due(session) == NOW + 6 * HOUR


def test_one_run_for_all_says_for_how_many_it_stands(session: Session) -> None:
    """No skipped run beside it: nothing was left undone."""
    save_job(session, spec=job(), now=NOW)
    (fired,) = fire_due(session, now=NOW + 5.5 * HOUR)
    (run,) = runs(session)
    assert [run.id for run in fired.runs] == [run.id]
    assert run.scheduled_at == NOW + 5 * HOUR
    assert run.cause.startswith("its schedule; this run stands for others too: 4 ticks were missed, from 2026-11-20 09")


def test_catching_up_queues_a_run_for_each(session: Session) -> None:
    """Each of the newest ticks has its own run, oldest first; the others are told of in one."""
    save_job(session, spec=job(misfire={"policy": "catch_up", "most": 3}, overlap="queue"), now=NOW)
    (fired,) = fire_due(session, now=NOW + 5.5 * HOUR)
    assert [run.scheduled_at for run in fired.runs] == [NOW + hours * HOUR for hours in (3, 4, 5)]
    assert [run.scheduled_at for run in runs(session, "skipped")] == [NOW + 2 * HOUR]
    assert fire_due(session, now=NOW + 5.5 * HOUR) == []


def test_a_clock_that_is_set_back_fires_nothing_twice_and_loses_no_next_time(session: Session) -> None:
    """Wrong by a year for a moment, the job goes on by the right time at once, and later skips what it has done."""
    save_job(session, spec=job(), now=NOW)
    year = timedelta(days=365)
    assert len(fire_due(session, now=NOW + HOUR)) == 1
    (ahead,) = fire_due(session, now=NOW + year)
    assert [run.scheduled_at for run in ahead.runs] == [NOW + year]
    assert fire_due(session, now=NOW + 2 * HOUR) == []  # lost for a year, if nobody minded the clock
    assert ahead_of_clock(session, now=NOW + 0.5 * HOUR) == ["retrain"]
    set_back(session, jobs=["retrain", "gone"], now=NOW + 0.5 * HOUR)
    assert [one.runs for one in fire_due(session, now=NOW + HOUR)] == [()]  # it was fired before the clock was wrong
    (again,) = fire_due(session, now=NOW + 2 * HOUR)
    assert [run.scheduled_at for run in again.runs] == [NOW + 2 * HOUR]
    assert ahead_of_clock(session, now=NOW + 2 * HOUR) == []


def test_many_jobs_at_once_share_transactions(session: Session) -> None:
    """The longest waiting go first, a bounded number at a time, until none is left."""
    for number in range(JOBS_AT_ONCE + 5):
        save_job(session, spec=job(name=f"job-{number:03}"), now=NOW + timedelta(seconds=number % 60))
    later = NOW + HOUR + MINUTE
    first = fire_due(session, now=later)
    assert len(first) == JOBS_AT_ONCE
    waited = [fired.runs[0].scheduled_at for fired in first]
    assert waited == sorted(waited)
    assert len(fire_due(session, now=later)) == 5
    assert fire_due(session, now=later) == []


async def test_the_loop_minds_the_clock(tmp_path: Path) -> None:
    """A clock that is set back under a running controller, or while it was off, makes no job wait for the old time."""
    database = open_database(f"sqlite:///{tmp_path / 'control.db'}")
    now = NOW
    await database.write(lambda session: save_job(session, spec=job(), now=NOW))
    ticks = Ticks(database, lambda: None, clock=lambda: now)
    assert await ticks.look() == NOW + HOUR
    now = NOW + timedelta(days=30)
    assert await ticks.look() == NOW + timedelta(days=30) + HOUR
    now = NOW + 10 * MINUTE
    assert await ticks.look() == NOW + HOUR
    now = NOW + timedelta(days=60)
    assert await ticks.look() == NOW + timedelta(days=60) + HOUR
    now = NOW + 20 * MINUTE
    assert await Ticks(database, lambda: None, clock=lambda: now).look() == NOW + HOUR
    await clean(database)


async def clean(database: Database) -> None:
    """See that the clock's jumps left one run for each that was fired, and close."""
    found = await database.read(lambda session: [run.scheduled_at for run in runs(session)])
    assert found == [NOW + timedelta(days=30), NOW + timedelta(days=60)]
    database.close()
