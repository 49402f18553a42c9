"""Aliases of models: every move is kept, can be taken back, and is made by one of those who try it at once."""

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, event, text
from sqlmodel import select

from controller.stores import database as migrations_of
from controller.stores.alias_moves import get_alias, moves, refuse_moved
from controller.stores.database import Database, open_database
from controller.stores.model_changes import delete_version, remove_alias, roll_back
from controller.stores.models import add_version, ensure_model, move_alias, next_version, resolve
from controller.stores.tables import AliasMoveRow, ChangeRow, VersionRow
from schemas.errors import Conflict, NotFound, Stale
from schemas.models import MODEL_FILE, ModelVersion, Signature
from schemas.names import BlobRef

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
OLD = (
    "INSERT INTO models VALUES ('iris', '', :now)",
    "INSERT INTO model_versions (model, version, created_at, file_digest, card, card_blob) "
    "VALUES ('iris', 2, :now, '', '{}', '{}'), ('iris', 3, :now, '', '{}', '{}')",
    "INSERT INTO aliases (model, alias, version, previous, moved_at, reason) "
    "VALUES ('iris', 'champion', 3, 2, :now, 'better'), ('iris', 'tried', 3, NULL, :now, 'new')",
)
"""What a database of the fourth migration holds."""
BLOB = BlobRef(digest=f"sha256:{'0' * 64}", size_bytes=1)


@pytest.fixture
def database(any_database_url: str) -> Iterator[Database]:
    """A control database with the model iris in five versions, on each of the systems that it may be on."""
    opened = open_database(any_database_url.replace("a folder/", ""))
    make_versions(opened, 5)
    yield opened
    opened.close()


def make_versions(database: Database, count: int) -> None:
    """So many more versions of iris."""
    with database.transaction() as session:
        ensure_model(session, name="iris", now=NOW)
        first = next_version(session, model="iris")
        for version in range(first, first + count):
            card = ModelVersion(
                name="iris",
                version=version,
                files={MODEL_FILE: BLOB},
                signature=Signature(inputs=(), outputs=()),
                created_at=NOW,
            )
            add_version(session, card=card, card_blob=BLOB)


def move(database: Database, *versions: int, alias: str = "champion", deploys: bool = True) -> None:
    """Let an alias stand for one version after the other."""
    for number, version in enumerate(versions):
        with database.transaction() as session:
            reason, now = f"reason {version}", NOW + timedelta(hours=number)
            move_alias(
                session,
                model="iris",
                alias=alias,
                version=version,
                reason=reason,
                now=now,
                by="gate of retrain",
                deploys=deploys,
            )


def back(database: Database) -> int | None:
    """Take the last move back; returns what the champion is then."""
    with database.transaction() as session:
        roll_back(session, model="iris", alias="champion", reason="worse", by="a person", now=NOW)
        return get_alias(session, model="iris", alias="champion").version


def history(database: Database) -> list[tuple[int | None, int | None]]:
    """From where to where the champion was moved, oldest first."""
    with database.transaction() as session:
        rows = moves(session, model="iris", alias="champion", limit=100)
        return [(row.previous, row.version) for row in reversed(rows)]


def test_every_move_is_kept_with_who_and_why(database: Database) -> None:
    """The history has each move, and the timeline a line for it; making and removing are moves too."""
    move(database, 1, 3)
    with database.transaction() as session:
        remove_alias(session, model="iris", alias="champion", reason="none is good", by="a person", now=NOW)
    assert history(database) == [(None, 1), (1, 3), (3, None)]
    with database.transaction() as session:
        last, *_ = moves(session, model="iris", limit=1)
        assert (last.by, last.reason, last.alias) == ("a person", "none is good", "champion")
        lines = session.exec(select(ChangeRow).order_by(ChangeRow.id)).all()  # type: ignore[arg-type]
        assert [(line.kind, line.subject, line.what, line.cause, line.by) for line in lines] == [
            ("alias", "model iris", "champion none → 1", "reason 1", "gate of retrain"),
            ("alias", "model iris", "champion 1 → 3", "reason 3", "gate of retrain"),
            ("alias", "model iris", "champion 3 → none", "none is good", "a person"),
        ]
        with pytest.raises(NotFound, match="has no alias 'champion'"):
            get_alias(session, model="iris", alias="champion")


def test_no_revision_comes_twice(database: Database) -> None:
    """An alias that is removed and made anew is another one than before: whoever saw the old one is told."""
    move(database, 1)
    with database.transaction() as session:
        seen = get_alias(session, model="iris", alias="champion").revision
        remove_alias(session, model="iris", alias="champion", reason="", by="", now=NOW)
    move(database, 1)
    with database.transaction() as session:
        assert get_alias(session, model="iris", alias="champion").revision > seen
        with pytest.raises(Stale, match=r"it stands for version 1 since .* moved by gate of retrain"):
            refuse_moved(session, model="iris", alias="champion", revision=seen)


def test_twice_goes_back_twice(database: Database) -> None:
    """Each rollback takes back one move more; what is moved in between is taken back first."""
    move(database, 1, 2, 3)
    assert [back(database), back(database)] == [2, 1]
    move(database, 5)
    assert back(database) == 1
    with pytest.raises(Conflict, match="stood for nothing before version 1"):
        back(database)
    assert history(database) == [(None, 1), (1, 2), (2, 3), (3, 2), (2, 1), (1, 5), (5, 1)]


def test_a_removal_can_be_taken_back(database: Database) -> None:
    """An alias that was removed comes back where it stood; one that never was is not found."""
    move(database, 1, 4)
    with database.transaction() as session:
        remove_alias(session, model="iris", alias="champion", reason="", by="", now=NOW)
    assert [back(database), back(database)] == [4, 1]
    with database.transaction() as session, pytest.raises(NotFound, match="never had one"):
        roll_back(session, model="iris", alias="other", reason="", by="", now=NOW)


def test_no_way_back_to_what_is_gone(database: Database) -> None:
    """When the version that an alias stood for is deleted, going back is refused, and nothing is moved."""
    move(database, 2, 3)
    with database.transaction() as session:
        delete_version(session, model="iris", version=2, by="", now=NOW)
    with pytest.raises(Conflict, match="stood for version 2 before, which is deleted; choose another"):
        back(database)
    assert history(database) == [(None, 2), (2, 3)]


def test_where_it_stands_already_nothing_is_noted(database: Database) -> None:
    """Moving an alias to where it is is no move, but for one that waited for approval and shall be deployed now."""
    move(database, 1, 1)
    assert history(database) == [(None, 1)]
    move(database, 2, 2, deploys=False)
    move(database, 2, 2)
    with database.transaction() as session:
        rows = moves(session, model="iris", limit=100)
        assert [(row.version, row.deploys) for row in reversed(rows)] == [(1, True), (2, False), (2, True)]


def test_of_two_at_once_one_wins(database: Database, any_database_url: str) -> None:
    """Two people move an alias that both have seen, on connections of their own: each time one does, the other is told.

    No move is lost: what the winner made is what the loser reads.
    """
    with closing(open_database(any_database_url.replace("a folder/", ""))) as other:
        for _ in range(10):
            move(database, 1)
            with database.transaction() as session:
                seen = get_alias(session, model="iris", alias="champion").revision
            together = threading.Barrier(2)
            people = [Person(own, version, seen, together) for own, version in ((database, 2), (other, 3))]
            for person in people:
                person.start()
            for person in people:
                person.join(120)
            with database.transaction() as session:
                now = get_alias(session, model="iris", alias="champion").version
            loser, winner = sorted((person.told for person in people), key=len, reverse=True)
            assert winner == f"moved to {now}"
            assert f"it stands for version {now} " in loser
            assert f"moved by person {now}" in loser


class Person(threading.Thread):
    """Moves the alias if it is what was seen, at the same moment as another one."""

    def __init__(self, own: Database, version: int, seen: int, together: threading.Barrier) -> None:
        super().__init__()
        self._own, self._version, self._seen, self._together = own, version, seen, together
        self.told = ""

    def run(self) -> None:
        """Move it, or be told."""
        version, by = self._version, f"person {self._version}"
        self._together.wait(60)
        try:
            with self._own.transaction() as session:
                refuse_moved(session, model="iris", alias="champion", revision=self._seen)
                move_alias(session, model="iris", alias="champion", version=version, reason="", now=NOW, by=by)
        except Stale as error:
            self.told = str(error)
        else:
            self.told = f"moved to {self._version}"


def test_a_history_begins_with_what_was_there(any_database_url: str) -> None:
    """Migrated, an alias of an older database has one move, can go back, and no version's number is given again."""
    url = any_database_url.replace("a folder/", "")
    engine = create_engine(url)
    config = Config()
    config.set_main_option("script_location", str(Path(migrations_of.__file__).parent / "migrations"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
        for statement in OLD:
            connection.execute(text(statement), {"now": f"{NOW:%Y-%m-%d %H:%M:%S}"})
        connection.commit()
    engine.dispose()
    with closing(open_database(url)) as database:
        assert history(database) == [(2, 3)]
        with database.transaction() as session:
            (first,) = moves(session, model="iris", alias="champion", limit=9)
            assert get_alias(session, model="iris", alias="champion").revision == first.id
            assert (first.at, first.reason, first.deploys) == (NOW, "better", True)
            assert next_version(session, model="iris") == 4
        assert back(database) == 2


@pytest.fixture
def loads() -> Iterator[list[object]]:
    """The versions and moves that are read, as they are read."""
    found: list[object] = []

    def note(row: object, _context: object) -> None:
        found.append(row)

    for table in (VersionRow, AliasMoveRow):
        event.listen(table, "load", note)
    yield found
    for table in (VersionRow, AliasMoveRow):
        event.remove(table, "load", note)


def test_one_alias_costs_no_look_at_every_version(database: Database, loads: list[object]) -> None:
    """Of thousands of versions and moves, resolving, paging, moving and going back read a handful of rows."""
    make_versions(database, 2000)
    with database.transaction() as session:
        for version in range(1, 301):
            move_alias(session, model="iris", alias="champion", version=version, reason="", now=NOW)
    loads.clear()
    with database.transaction() as session:
        found = resolve(session, ref="iris")
        assert found is not None
        assert found[0].version == 300
        assert len(loads) == 1
        assert len(moves(session, model="iris", alias="champion", limit=10)) == 10
        assert len(loads) == 11
    loads.clear()
    assert back(database) == 299
    move(database, 2000)
    assert 0 < len(loads) < 10
