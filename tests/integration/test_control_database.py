"""The control database: its migrations, its transactions, its compare-and-set."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlmodel import Session, SQLModel, create_engine

from controller.runs.machine import advance
from controller.runs.steps import CancelAsked, Refused, Waits
from controller.stores.database import Database, open_database
from controller.stores.jobs import fire_due, get_job, next_due, save_job
from controller.stores.runs import (
    SKIPPED_KEPT,
    count_by_state,
    list_rows,
    live_runs,
    load_run,
    queue_run,
    save_step,
)
from schemas.errors import Conflict
from schemas.jobs import JobSpec

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)


def job(**changes: object) -> JobSpec:
    """A job that is due every minute."""
    written = {
        "name": "retrain",
        "model": "iris",
        "edge": "press-1",
        "scripts": ["train.py"],
        "schedule": {"every": "1m"},
    }
    return JobSpec.model_validate(written | changes)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty control database."""
    opened = open_database(f"sqlite:///{tmp_path / 'control.db'}")
    yield opened
    opened.close()


def test_migrations_make_the_tables_that_the_code_expects(tmp_path: Path) -> None:
    """After all migrations nothing differs from the tables as they are declared."""
    url = f"sqlite:///{tmp_path / 'control.db'}"
    open_database(url).close()
    engine = create_engine(url)
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), SQLModel.metadata)
    engine.dispose()
    assert differences == []


def test_a_tick_is_recorded_once(database: Database) -> None:
    """The same job and time give one run, however often it is tried."""
    with database.transaction() as session:
        assert queue_run(session, job=job(), trigger="schedule", scheduled_at=NOW, now=NOW) is not None
        assert queue_run(session, job=job(), trigger="schedule", scheduled_at=NOW, now=NOW) is None


def test_a_tick_that_is_not_committed_never_was(database: Database) -> None:
    """Run and cursor are one transaction: a crash between them leaves neither, and the tick is not lost."""
    with database.transaction() as session:
        save_job(session, spec=job(), now=NOW)
    later = NOW + timedelta(seconds=61)

    def fire_and_die() -> None:
        with database.transaction() as session:
            assert len(fire_due(session, now=later)) == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fire_and_die()
    with database.transaction() as session:
        assert live_runs(session) == []
        assert next_due(session) == NOW + timedelta(minutes=1)
        assert len(fire_due(session, now=later)) == 1
        assert fire_due(session, now=later) == []


def test_ticks_missed_while_away_are_one_run(database: Database) -> None:
    """A controller that was down for an hour trains once, and then goes on with its schedule."""
    with database.transaction() as session:
        save_job(session, spec=job(), now=NOW)
    with database.transaction() as session:
        (fired,) = fire_due(session, now=NOW + timedelta(hours=1, seconds=30))
        assert [run.scheduled_at for run in fired.runs] == [NOW + timedelta(hours=1)]
        assert next_due(session) == NOW + timedelta(hours=1, minutes=1)


def test_editing_a_job_does_not_move_its_schedule(database: Database) -> None:
    """Only a changed schedule starts anew; and no edit fires the job."""

    def due(session: Session, spec: JobSpec, at: datetime) -> datetime | None:
        save_job(session, spec=spec, now=at)
        return get_job(session, name="retrain")[0].next_fire_at

    with database.transaction() as session:
        half = NOW + timedelta(seconds=30)
        assert due(session, job(), NOW) == NOW + timedelta(minutes=1)
        assert due(session, job(min_rows=7), half) == NOW + timedelta(minutes=1)
        assert due(session, job(schedule={"every": "2m"}), half) == half + timedelta(minutes=2)
        assert due(session, job(schedule={"every": "2m"}, paused=True), half) is None
        assert due(session, job(schedule={"every": "2m"}), half + timedelta(seconds=1)) == half + timedelta(minutes=2)
        assert live_runs(session) == []


def test_refusals_do_not_pile_up(database: Database) -> None:
    """Of the runs that were skipped for want of data, only the newest are kept; the others are all kept."""
    with database.transaction() as session:
        for minute in range(SKIPPED_KEPT + 5):
            at = NOW + timedelta(minutes=minute)
            row = queue_run(session, job=job(), trigger="schedule", scheduled_at=at, now=at)
            assert row is not None
            if minute > 1:
                before = load_run(session, run_id=row.id)
                save_step(session, before=before, after=advance(before, Refused("nothing new"), at))
                session.expire(row)
        rows = list_rows(session, job="retrain", state=None, before=None, limit=1000)
        assert count_by_state(session) == {"queued": 2, "skipped": SKIPPED_KEPT + 1}  # the last came after the sweep
        assert rows[0].scheduled_at == NOW + timedelta(minutes=SKIPPED_KEPT + 4)


def test_two_steps_cannot_follow_the_same_one(database: Database) -> None:
    """A run that moved meanwhile is not overwritten: the second writer is told."""
    with database.transaction() as session:
        row = queue_run(session, job=job(), trigger="manual", scheduled_at=NOW, now=NOW)
        assert row is not None
        before = load_run(session, run_id=row.id)
        save_step(session, before=before, after=advance(before, Waits("busy"), NOW))
        with pytest.raises(Conflict):
            save_step(session, before=before, after=advance(before, CancelAsked("no"), NOW))
