"""The control database: its migrations, its transactions, its compare-and-set."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import DateTime, column, insert, table
from sqlmodel import Session, SQLModel, create_engine

from controller.runs.machine import advance
from controller.runs.steps import CancelAsked, Refused, Waits
from controller.stores import database as database_module
from controller.stores.database import Database, open_database
from controller.stores.jobs import fire_due, get_job, list_jobs, next_due, save_job
from controller.stores.models import list_models, next_version
from controller.stores.runs import (
    SKIPPED_KEPT,
    count_by_state,
    list_rows,
    live_runs,
    load_run,
    queue_run,
    save_step,
)
from controller.stores.tables import ModelRow, VersionRow
from schemas.errors import BadInput, Conflict, Unreachable
from schemas.gates import Gate
from schemas.jobs import JobSpec
from tests.conftest import free_port
from tests.postgres import PostgresServer

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
def control_url(any_database_url: str, tmp_path: Path) -> str:
    """Where there is no control database yet."""
    return f"sqlite:///{tmp_path / 'control.db'}" if any_database_url.startswith("sqlite") else any_database_url


@pytest.fixture
def database(control_url: str) -> Iterator[Database]:
    """An empty control database, on each of the systems that it may be on."""
    opened = open_database(control_url)
    yield opened
    opened.close()


def test_migrations_make_the_tables_that_the_code_expects(control_url: str) -> None:
    """After all migrations nothing differs from the tables as they are declared."""
    open_database(control_url).close()
    engine = create_engine(control_url)
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), SQLModel.metadata)
    engine.dispose()
    assert differences == []


def test_a_gate_that_nobody_wrote_is_none(control_url: str) -> None:
    """Jobs of before had every default written out: what says nothing else leaves the gate to the model from now on."""
    gates = {
        "unsaid": {"policy": "auto_promote_and_deploy", "metric": None, "tolerance": 0.0, "thresholds": []},
        "older": {"policy": "auto_promote", "metric": None, "tolerance": 0.0},
        "strict": {"policy": "auto_promote_and_deploy", "metric": None, "budgets": {"file_mb": 1.0}},
    }
    engine = create_engine(control_url)
    with engine.connect() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(database_module.__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")
        jobs = table(
            "jobs", *map(column, ("name", "spec")), column("created_at", DateTime), column("anchor_at", DateTime)
        )
        for name, gate in gates.items():
            spec = json.dumps({**job(name=name).model_dump(mode="json"), "gate": gate})
            at = NOW.replace(tzinfo=None)
            connection.execute(insert(jobs).values(name=name, spec=spec, created_at=at, anchor_at=at))
        connection.commit()
    engine.dispose()
    opened = open_database(control_url)
    with opened.transaction() as session:
        found = {spec.name: spec.gate for _, spec in list_jobs(session)}
    opened.close()
    assert found["unsaid"] is None
    assert (found["older"], found["strict"]) == tuple(Gate.model_validate(gates[name]) for name in ("older", "strict"))


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
        assert count_by_state(session) == {"queued": 2, "skipped": SKIPPED_KEPT}
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


def test_a_reason_may_hold_any_text(database: Database) -> None:
    """What an edge says is kept whatever it holds: a zero byte, which PostgreSQL refuses, becomes a mark."""
    with database.transaction() as session:
        row = queue_run(session, job=job(), trigger="manual", scheduled_at=NOW, now=NOW, cause="a\x00cause")
        assert row is not None
        before = load_run(session, run_id=row.id)
        save_step(session, before=before, after=advance(before, Waits("pip said \x00 and ended"), NOW))
    with database.transaction() as session:
        assert load_run(session, run_id=row.id).reason == "pip said \N{REPLACEMENT CHARACTER} and ended"


def test_what_cannot_be_looked_for_is_bad_input(postgres_url: str) -> None:
    """A name that PostgreSQL cannot even compare is the mistake of who asks, and none of the controller."""
    with closing(open_database(postgres_url)) as database, pytest.raises(BadInput, match="NUL"):  # noqa: SIM117
        with database.transaction() as session:
            get_job(session, name="re\x00train")


def test_there_is_one_writer_at_a_time(database: Database) -> None:
    """What a transaction has read holds until it ends: of many that each take the next number, no two take the same."""
    with database.transaction() as session:
        session.add(ModelRow(name="iris", created_at=NOW))

    def add_versions() -> None:
        for _ in range(10):
            with database.transaction() as session:
                number = next_version(session, model="iris")
                row = VersionRow(model="iris", version=number, created_at=NOW, file_digest="", card="", card_blob="")
                session.add(row)

    threads = [threading.Thread(target=add_versions) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    with database.transaction() as session:
        assert next_version(session, model="iris") == 61


async def test_a_reader_sees_one_state_and_holds_nobody_up(database: Database) -> None:
    """While somebody reads, others write; the reader goes on seeing what it saw first."""
    reading, written = threading.Event(), threading.Event()

    def look(session: Session) -> tuple[int, int]:
        before = len(list_models(session))
        reading.set()
        assert written.wait(60)
        session.expire_all()
        return before, len(list_models(session))

    async with asyncio.timeout(120):
        looking = asyncio.create_task(database.read(look))
        assert await asyncio.to_thread(reading.wait, 60)
        await database.write(lambda session: session.add(ModelRow(name="iris", created_at=NOW)))
        written.set()
        assert await looking == (0, 0)
        assert await database.read(lambda session: len(list_models(session))) == 1


async def test_a_restart_of_the_server_is_waited_for(postgres: PostgresServer, postgres_url: str) -> None:
    """A transaction that finds the server away is tried until it is back; one that the server leaves is told so."""
    with closing(open_database(postgres_url)) as database:
        await database.write(lambda session: session.add(ModelRow(name="iris", created_at=NOW)))

        def lose_the_server(session: Session) -> None:
            assert len(list_models(session)) == 1
            postgres.stop()
            list_models(session)

        with pytest.raises(Unreachable, match=r"the control database .* did not do it") as lost:
            await database.write(lose_the_server)
        assert "secret" not in str(lost.value)
        waiting = asyncio.create_task(database.read(lambda session: [row.name for row in list_models(session)]))
        await asyncio.to_thread(postgres.start)
        assert await asyncio.wait_for(waiting, 60) == ["iris"]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nonsense:secret", "control_url is no database URL; write sqlite:////"),
        ("nosuch://u:secret@host/x", "control_url is of neither SQLite nor PostgreSQL"),
    ],
)
def test_a_database_that_cannot_be_is_refused(url: str, reason: str) -> None:
    """The message says what to write, and tells no password."""
    with pytest.raises(BadInput, match=reason) as refused:
        open_database(url)
    assert "secret" not in str(refused.value)


def test_a_database_that_does_not_answer_is_said() -> None:
    """At the start nothing is waited for: whoever starts the controller is told, without the password."""
    with pytest.raises(Unreachable, match=r"the control database .* does not open") as away:
        open_database(f"postgresql://u:secret@127.0.0.1:{free_port()}/x")
    assert "secret" not in str(away.value)
