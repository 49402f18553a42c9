"""What is told of a version besides its card, and of where it came from."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from controller.http.tags import model_tag, version_tag
from controller.models.lineage import lineage_view
from controller.models.views import model_view, version_view
from controller.stores.database import Database, open_database
from controller.stores.edges import add_edge
from controller.stores.model_changes import annotate
from controller.stores.models import add_version, ensure_model, move_alias
from controller.stores.tables import EdgeRow, GateResultRow
from schemas.model_views import LineageView, VersionPlace
from schemas.models import MODEL_FILE, Lineage, ModelVersion, Signature
from schemas.names import BlobRef
from schemas.report import Capabilities, ModelState, ModelStatus, PipelineState, PipelineStatus, Report

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
BLOB = BlobRef(digest=f"sha256:{'0' * 64}", size_bytes=1)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """The model iris with five versions, each of which has the one before as its base."""
    opened = open_database(f"sqlite:///{tmp_path / 'control.db'}")
    with opened.transaction() as session:
        ensure_model(session, name="iris", now=NOW)
        for version in range(1, 6):
            card = ModelVersion(
                name="iris",
                version=version,
                files={MODEL_FILE: BLOB},
                signature=Signature(inputs=(), outputs=()),
                lineage=Lineage(base_model=f"iris:{version - 1}" if version > 1 else None),
                created_at=NOW,
            )
            add_version(session, card=card, card_blob=BLOB)
    yield opened
    opened.close()


def report(edge: str, *, answers: int | None, state: ModelState) -> str:
    """An edge that is to hold version 2, and whose pipeline answers with another or none."""
    models = {} if answers is None else {"iris@champion": answers}
    told = Report(
        edge=edge,
        session_id="s",
        generation=1,
        agent_version="1",
        started_at=NOW,
        capabilities=Capabilities(executors=(), cpus=1, memory_bytes=1, platform="linux"),
        models=(ModelStatus(name="iris", version=2, state=state),),
        pipelines=(PipelineStatus(name="score", version=1, state=PipelineState.LISTENING, models=models),),
        disk_free_bytes=1,
        load=0,
    )
    return told.model_dump_json()


def test_a_version_is_where_edges_say(database: Database) -> None:
    """Deployed is what edges report, answering or ready; not what is on its way, nor what a revoked one says."""
    with database.transaction() as session:
        for name, answers, state in (
            ("a", 2, ModelState.READY),
            ("b", 3, ModelState.READY),
            ("c", None, ModelState.FETCHING),
            ("d", 2, ModelState.READY),
        ):
            add_edge(session, name=name, labels={}, sealing_key="", now=NOW)
            session.get_one(EdgeRow, name).report = report(name, answers=answers, state=state)
        session.get_one(EdgeRow, "d").revoked_at = NOW
    with database.transaction() as session:
        told = {version.version: version.deployed for version in model_view(session, "iris").versions}
    assert told[2] == (VersionPlace(edge="a", pipeline="score"), VersionPlace(edge="b"))
    assert told[3] == (VersionPlace(edge="b", pipeline="score"),)
    assert told[1] == told[4] == ()


def test_the_last_decision_of_a_gate_is_told(database: Database) -> None:
    """Of several results of a version the newest is shown, with when and by whom, and other versions have none."""
    with database.transaction() as session:
        for decision, by in (("hold", ""), ("promote", "a person")):
            session.add(GateResultRow(model="iris", version=2, at=NOW, decision=decision, by=by, result="{}"))
    with database.transaction() as session:
        gate = version_view(session, "iris", 2).gate
        assert gate is not None
        assert (gate.decision, gate.at, gate.by) == ("promote", NOW, "a person")
        assert version_view(session, "iris", 1).gate is None


def test_tags_change_with_what_people_change(database: Database) -> None:
    """A model's tag is another one after each change, not after a report; a version's only with its own words."""
    tags: list[str] = []
    words: list[str] = []

    def note() -> None:
        with database.transaction() as session:
            tags.append(model_tag(model_view(session, "iris")))
            words.append(version_tag(version_view(session, "iris", 2)))

    note()
    with database.transaction() as session:
        annotate(session, model="iris", version=2, note="slow", tags={"a": "b"})
    note()
    with database.transaction() as session:
        move_alias(session, model="iris", alias="champion", version=3, reason="", now=NOW)
    note()
    with database.transaction() as session:
        add_edge(session, name="a", labels={}, sealing_key="", now=NOW)
        session.get_one(EdgeRow, "a").report = report("a", answers=2, state=ModelState.READY)
    note()
    assert len(set(tags)) == 3
    assert tags[2] == tags[3]
    assert words[1] == words[2] == words[3] != words[0]


def test_a_lineage_ends_where_it_is_cut(database: Database) -> None:
    """Base models are followed as deep as is asked for, and it is said when there is more."""
    with database.transaction() as session:
        whole, cut = lineage_view(session, "iris", 5, 10), lineage_view(session, "iris", 5, 2)
    assert [view.version for view in chain(whole)] == [5, 4, 3, 2, 1]
    assert [(view.version, view.cut) for view in chain(cut)] == [(5, False), (4, False), (3, True)]


def chain(view: LineageView | None) -> Iterator[LineageView]:
    """A version and the bases behind it."""
    while view is not None:
        yield view
        view = view.base
