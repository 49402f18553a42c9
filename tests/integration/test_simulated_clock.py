"""A year of ticks on a simulated clock, and a controller that is killed at every step around them."""

import asyncio
import subprocess
import sys
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, cycle, pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlmodel import col, select

from controller.stores.database import Database, open_database
from controller.stores.jobs import save_job
from controller.stores.tables import RunRow
from schemas.jobs import JobSpec
from schemas.runs import RunState
from schemas.schedules import Schedule
from tests.integration.firing_process import fire
from tests.unit.test_schedule import watched

OF_A_YEAR = {"night": "30 2 * * *", "sunday": "*/20 2 * * sun"}  # the clock is turned on Sundays
OF_A_DAY = {"night": "30 2 * * *", "often": "15 */6 * * *"}
MISFIRES: dict[str, dict[str, object]] = {
    "skip": {"policy": "skip"},
    "once": {"policy": "run_once"},
    "catch": {"policy": "catch_up", "most": 3, "window": "1d"},
}
GRACE = timedelta(seconds=60)
ROOT = Path(__file__).parents[2]


class Crash(Exception):
    """What stands for the end of the process."""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty control database."""
    opened = open_database(f"sqlite:///{tmp_path / 'control.db'}")
    opened._engine.dispose()
    event.listen(opened._engine, "connect", no_need_to_last)
    yield opened
    opened.close()


def no_need_to_last(connection: DBAPIConnection, _record: object) -> None:
    """Not to wait for the disk: the machine does not fail in this test, only the program."""
    connection.cursor().execute("PRAGMA synchronous=OFF")


def declare(database: Database, crons: dict[str, str], now: datetime) -> None:
    """One job for each schedule and policy."""
    with database.transaction() as session:
        for name, cron in crons.items():
            for policy, misfire in MISFIRES.items():
                written = {
                    "name": f"{name}-{policy}",
                    "model": "iris",
                    "edge": "press-1",
                    "scripts": ["train.py"],
                    "schedule": {"cron": cron, "timezone": "Europe/Berlin"},
                    "misfire": misfire,
                    "overlap": "queue",
                }
                save_job(session, spec=JobSpec.model_validate(written), now=now)


def declared(policy: str, ticks: list[datetime], looks: list[datetime]) -> tuple[list[datetime], list[datetime]]:
    """The runs that there must be, given when the controller could look: those queued, and those skipped."""
    queued: list[datetime] = []
    skipped: list[datetime] = []
    for before, now in pairwise(looks):
        come = ticks[bisect_right(ticks, before) : bisect_right(ticks, now)]
        missed = [tick for tick in come if tick < now - GRACE]
        in_time = [tick for tick in come if tick not in missed]
        if policy == "once" and missed:
            queued += come[-1:]
            continue
        kept = [tick for tick in missed if tick >= now - timedelta(days=1)][-3:] if policy == "catch" else []
        queued += kept + in_time
        skipped += [tick for tick in missed if tick not in kept][-1:]
    return queued, skipped


def runs(database: Database, job: str, *, skipped: bool) -> list[datetime]:
    """The ticks that the database holds a run of."""
    with database.transaction() as session:
        wanted = select(RunRow.scheduled_at).where(RunRow.job == job, RunRow.trigger == "schedule")
        state = col(RunRow.state) == RunState.SKIPPED
        return list(session.exec(wanted.where(state if skipped else ~state).order_by(col(RunRow.scheduled_at))))


def check(database: Database, crons: dict[str, str], looks: list[datetime]) -> None:
    """The runs in the database are exactly the declared ones."""
    for name, cron in crons.items():
        ticks = watched(Schedule(cron=cron, timezone="Europe/Berlin"), looks[0], looks[-1])
        if cron.endswith("sun"):
            ticks = [tick for tick in ticks if tick.astimezone(ZoneInfo("Europe/Berlin")).weekday() == 6]
        for policy in MISFIRES:
            queued, skipped = declared(policy, ticks, looks)
            assert runs(database, f"{name}-{policy}", skipped=False) == queued, (name, policy)
            assert runs(database, f"{name}-{policy}", skipped=True) == skipped, (name, policy)


@pytest.mark.slow
async def test_a_year_of_ticks_is_fired_exactly_however_often_the_controller_dies(database: Database) -> None:
    """Dying at every step in turn, and away at times, it queues and skips what each policy says (defect 16).

    No tick is lost and none is there twice, through both changes of daylight saving.
    """
    start = datetime(2026, 1, 1, tzinfo=UTC)
    until = datetime(2027, 1, 1, tzinfo=UTC)
    away = cycle([0, 0, 20, 0, 0, 3_000, 0, 0, 0, 26_000, 0, 0, 0, 0, 0, 40, 0, 0, 0, 0, 0, 0, 0, 400_000])
    declare(database, OF_A_YEAR, start)
    now, looks, deaths = start, {start}, 0
    for life in count():
        left = life % 40 + 1

        def step() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Crash

        def looked(moment: datetime) -> None:
            nonlocal now
            looks.add(moment)
            now = moment

        try:
            await fire(database, now=now, until=until, looked=looked, step=step)
        except Crash:
            deaths += 1
            now += timedelta(seconds=next(away))
        else:
            break
    assert deaths > 300
    check(database, OF_A_YEAR, sorted(looks))


@pytest.mark.parametrize("change", [datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)])
async def test_killed_processes_leave_exactly_the_declared_runs(tmp_path: Path, change: datetime) -> None:
    """Real processes, killed at one step after another as the clock is turned, lose and repeat nothing (defect 16)."""
    url = f"sqlite:///{tmp_path / 'control.db'}"
    database = open_database(url)
    start, until = change - timedelta(hours=12), change + timedelta(hours=18)
    declare(database, OF_A_DAY, start)
    now, looks, killed = start, {start}, 0
    away = cycle([0, 0, 5_000, 0])
    for life in count():
        arguments = [url, now.isoformat(), until.isoformat(), str(8 + 5 * life)]
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "tests.integration.firing_process", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            timeout=60,
            check=False,
        )
        for line in done.stdout.decode().splitlines():
            now = datetime.fromisoformat(line.removeprefix("looked "))
            looks.add(now)
        if done.returncode == 0:
            break
        assert done.returncode == -9
        killed += 1
        now += timedelta(seconds=next(away))
    assert killed >= 5
    check(database, OF_A_DAY, sorted(looks))
    database.close()
