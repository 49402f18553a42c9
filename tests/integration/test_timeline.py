"""What changed and which version answered where, as edges tell it and people ask for it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from controller.stores.changes import changes, forget_changes
from controller.stores.database import Database, open_database
from controller.stores.servings import forget_servings, note_servings, servings
from schemas.report import Capabilities, PipelineState, PipelineStatus, Report, SinceSwap
from tests.integration.api import Api, problem

T0 = datetime(2026, 11, 27, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
_CAPABILITIES = Capabilities(executors=("process",), cpus=1, memory_bytes=1, platform="test")


@pytest.fixture(name="database")
def _database(tmp_path: Path) -> Iterator[Database]:
    database = open_database(f"sqlite:///{tmp_path / 'control.db'}")
    yield database
    database.close()


def _says(database: Database, now: datetime, *pipelines: PipelineStatus, before: datetime | None = None) -> None:
    report = Report(
        edge="press-1",
        session_id="1",
        generation=1,
        agent_version="1",
        started_at=T0,
        capabilities=_CAPABILITIES,
        pipelines=pipelines,
        disk_free_bytes=1,
        load=0,
    )
    with database.transaction() as session:
        note_servings(session, report=report, before=before, now=now)


def _scoring(
    version: int, state: PipelineState = PipelineState.LISTENING, since: datetime | None = None
) -> PipelineStatus:
    swap = SinceSwap(since=since) if since else None
    return PipelineStatus(name="scoring", version=1, state=state, models={"iris": version}, since_swap=swap)


def _at(database: Database, moment: datetime) -> list[int | None]:
    with database.transaction() as session:
        return [row.version for row in servings(session, edge="press-1", model="iris", at=moment)]


def test_one_version_answers_at_each_moment(database: Database) -> None:
    """From the report that first tells of a version until that which tells of another; repeats change nothing."""
    _says(database, T0, _scoring(3))
    _says(database, T0 + MINUTE, _scoring(3))
    _says(database, T0 + 2 * MINUTE, _scoring(4))
    _says(database, T0 + 4 * MINUTE, _scoring(4, PipelineState.FAILED))
    assert [_at(database, T0 + minutes * MINUTE) for minutes in (-1, 0, 1, 2, 3, 4, 5)] == [
        *([], [3], [3], [4], [4], [], []),
    ]
    with database.transaction() as session:
        told = [line.what for line in changes(session, edge="press-1", subject="model iris", limit=9)]
    assert told == ["3 → 4 as iris in pipeline scoring", "3 as iris in pipeline scoring"]


def test_what_changed_while_an_edge_was_away_is_noted_as_of_then(database: Database) -> None:
    """An edge that is offline goes on answering, and tells afterwards since when another version has."""
    _says(database, T0, _scoring(3))
    _says(database, T0 + 9 * MINUTE, _scoring(2, since=T0 + 5 * MINUTE), before=T0)
    assert [_at(database, T0 + minutes * MINUTE) for minutes in (4, 5, 10)] == [[3], [2], [2]]


def test_a_clock_that_goes_wrong_on_an_edge_moves_nothing(database: Database) -> None:
    """A moment outside of the two reports is not believed."""
    _says(database, T0, _scoring(3))
    _says(database, T0 + MINUTE, _scoring(4, since=T0 - timedelta(days=9)), before=T0)
    assert [_at(database, T0 + minutes * MINUTE) for minutes in (-5, 0, 1)] == [[], [3], [4]]


def test_the_past_is_forgotten_beyond_the_newest(database: Database) -> None:
    """Of lines and of what has ended; what answers still is never forgotten."""
    for version in range(1, 6):
        _says(database, T0 + version * MINUTE, _scoring(version))
    with database.transaction() as session:
        assert forget_changes(session, kept=2) == 4  # of five of the model, and one of the pipeline
        assert forget_servings(session, kept=0) == 4
        assert [row.version for row in servings(session, edge=None, model="iris", at=None)] == [5]
        assert len(changes(session, limit=9)) == 2


@contextmanager
def _controller(home: Path) -> Iterator[Api]:
    with Api.running(home) as api:
        yield api


def test_windows_and_the_timeline_by_the_api(tmp_path: Path) -> None:
    """A window is applied, listed with its edges, checked and deleted; the timeline comes in pages."""
    window = {"kind": "MaintenanceWindow", "name": "night", "edges": ["press-1"], "opens": "0 22 * * *", "lasts": "4h"}
    with _controller(tmp_path) as api:
        assert api.actions(window) == ["created"]
        assert api.actions(window) == ["unchanged"]
        assert api.actions({**window, "lasts": "5h"}) == ["updated"]
        listed = api.http.get("maintenance-windows").json()["items"]
        assert [(one["spec"]["name"], one["edges"]) for one in listed] == [("night", ["press-1"])]
        wrong = api.apply({**window, "opens": "0 25 * * *", "edges": ["nowhere"]})
        places = {error.where for error in problem(wrong).errors}
        assert places == {"documents[0].opens", "documents[0].edges[0]"}
        assert api.http.delete("maintenance-windows/night").status_code == 204
        assert problem(api.http.delete("maintenance-windows/night")).status == 404
        first = api.http.get("timeline", params={"limit": 1})
        assert json.loads(first.content).keys() == {"items", "next"}
        assert api.http.get("servings").json()["items"] == []
        assert problem(api.http.get("servings", params={"at": "yesterday"})).status == 422
