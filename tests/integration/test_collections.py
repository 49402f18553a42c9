"""The collection store, on a real SQLite file and on a real PostgreSQL server."""

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from controller.data.payloads import Parsed, Rejected, parse_rows
from controller.stores.collection_rejects import KEPT
from controller.stores.collections import CollectionStore
from schemas.collections import CollectionSpec, ColumnType
from schemas.errors import BadInput, Conflict, NotFound, Unreachable

PRESS = CollectionSpec(
    name="press",
    columns={
        "label": ColumnType.TEXT,
        "strokes": ColumnType.INTEGER,
        "force": ColumnType.REAL,
        "ok": ColumnType.BOOLEAN,
        "detail": ColumnType.JSON,
    },
    topics=("factory/+/press",),
)


@pytest.fixture
def store(any_database_url: str) -> Iterator[CollectionStore]:
    """An open store with one empty collection, on each database."""
    with closing(CollectionStore(any_database_url)) as opened:
        assert opened.declare(PRESS).action == "created"
        yield opened


def test_rows_come_back_as_they_went_in(store: CollectionStore) -> None:
    """Every value keeps its type, JSON is parsed, and position and UTC time of arrival are added."""
    before = datetime.now(UTC)
    last = store.insert("press", [{"label": "a", "strokes": 2**63 - 1, "force": 0.1, "ok": False, "detail": '["1e5"]'}])
    (row,) = store.rows("press")
    created = datetime.fromisoformat(str(row.pop("created")))
    assert before <= created <= datetime.now(UTC)
    assert row == {"position": 1, "label": "a", "strokes": 2**63 - 1, "force": 0.1, "ok": False, "detail": ["1e5"]}
    assert isinstance(row["ok"], bool)
    assert last == store.last_position("press") == 1


@pytest.mark.parametrize("json", ["1e5", "12345678901234567890123", '"x"', '{"b":1.0,"a":"\\u0000"}'])
def test_json_text_is_not_taken_for_a_number(store: CollectionStore, json: str) -> None:
    """What a JSON column holds is kept letter by letter: the declared type must not make a database convert it."""
    store.insert("press", [{"label": json, "detail": json}])
    with store._database.reading() as connection:
        assert connection.execute(text("SELECT detail, label FROM press")).one() == (json, json)


def test_positions_are_never_given_twice(store: CollectionStore) -> None:
    """Also when the newest rows were deleted, later rows get later positions."""
    store.insert("press", [{"label": "a"}, {"label": "b"}])
    with store._database.writing() as connection:
        connection.execute(text("DELETE FROM press"))
    assert store.insert("press", [{"label": "c"}]) == 3


def test_paging_through_rows_neither_skips_nor_repeats(store: CollectionStore) -> None:
    """Rows come by position, and behind a position come those that were not seen."""
    store.insert("press", [{"strokes": number} for number in range(250)])
    seen: list[object] = []
    after = 0
    while page := store.rows("press", after=after, limit=100):
        seen += [row["strokes"] for row in page]
        after = int(str(page[-1]["position"]))
    assert seen == list(range(250))


def test_declaring_again_changes_nothing(store: CollectionStore) -> None:
    """The same declaration, whatever the order of its columns, leaves everything as it is."""
    turned = PRESS.model_copy(update={"columns": dict(reversed(PRESS.columns.items()))})
    assert store.declare(PRESS).action == store.declare(turned).action == "unchanged"


def test_columns_and_topics_can_be_added(store: CollectionStore) -> None:
    """A new column is null in the rows that are there; new topics and requirements apply from now on."""
    store.insert("press", [{"label": "old"}])
    wider = PRESS.model_copy(
        update={
            "columns": {"note": ColumnType.JSON, **PRESS.columns},
            "topics": ("line/#",),
            "required": ("label",),
        }
    )
    assert store.declare(wider).action == "updated"
    store.insert("press", [{"label": "new", "note": "{}"}])
    assert [(row["label"], row["note"]) for row in store.rows("press")] == [("old", None), ("new", {})]
    assert store.specs() == (wider,)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"columns": {**PRESS.columns, "force": ColumnType.TEXT}}, "column force is real and cannot become text"),
        ({"columns": {"label": ColumnType.TEXT}}, r"column strokes \(integer\) is left out"),
        ({"name": "Press"}, "there is press, and SQL does not tell"),
    ],
)
def test_what_rows_rely_on_cannot_change(store: CollectionStore, changed: dict[str, object], message: str) -> None:
    """A changed or removed column and a name that differs by case only are refused, and nothing has changed."""
    with pytest.raises(Conflict, match=message):
        store.declare(PRESS.model_copy(update=changed))
    assert store.specs() == (PRESS,)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": "sqlite_things"}, "the database's own"),
        ({"topics": ("a/#", "b", "a/+/c")}, "topics 'a/#' and 'a/[+]/c' overlap"),
    ],
)
def test_what_cannot_be_kept_is_refused(store: CollectionStore, changed: dict[str, object], message: str) -> None:
    """Names of SQLite's own, and topics that would deliver a message twice, are refused with the reason."""
    with pytest.raises(BadInput, match=message):
        store.declare(PRESS.model_copy(update=changed))


def test_words_of_sql_can_name_collections_and_columns(store: CollectionStore) -> None:
    """A collection called order with columns called select and group works like any other."""
    odd = CollectionSpec(name="order", columns={"select": ColumnType.TEXT, "group": ColumnType.INTEGER})
    store.declare(odd)
    store.declare(odd.model_copy(update={"columns": {**odd.columns, "table": ColumnType.REAL}}))
    store.insert("order", [{"select": "a", "group": 1, "table": 2.0}])
    assert [(row["select"], row["group"], row["table"]) for row in store.rows("order")] == [("a", 1, 2.0)]


def test_a_reject_may_hold_any_bytes(store: CollectionStore) -> None:
    """A payload that is no text is put aside like any other, and the rows beside it are kept."""
    parsed = parse_rows(b"\x00\xff{", PRESS, max_bytes=100, source="factory/1/press")
    store.insert("press", [{"label": "a"}], parsed.rejects)
    (reject,) = store.rejects("press")
    assert (reject.payload, store.view("press").rows) == ("\N{REPLACEMENT CHARACTER}" * 2 + "{", 1)


def test_rejects_are_counted_and_the_newest_are_kept(store: CollectionStore) -> None:
    """Rejects cannot fill the disk: a bounded number is kept for each collection, and all are counted."""
    store.declare(PRESS.model_copy(update={"name": "other", "topics": ()}))
    store.insert("other", [], [Rejected("t", "alone", "{}")])
    for start in (0, 700, 1400):
        store.insert("press", [{"label": "a"}], [Rejected("t", f"reason {start + n}", "{}") for n in range(700)])
    newest = store.rejects("press", limit=5000)
    assert [reject.reason for reject in newest] == [f"reason {n}" for n in range(2099, 2099 - KEPT, -1)]
    view = store.view("press")
    assert (view.rows, view.last_position, view.rejects) == (3, 3, 2100)
    assert [reject.reason for reject in store.rejects("other")] == ["alone"]


def test_a_batch_that_fails_leaves_nothing(store: CollectionStore) -> None:
    """Rows and rejects of batches before the failure are undone with it, and so are their counts."""

    def batches() -> Iterator[Parsed]:
        yield Parsed(rows=[{"label": "a"}], rejects=[Rejected("t", "bad", "{}")])
        raise BadInput("the file ends in the middle")

    with pytest.raises(BadInput, match="the file ends"):
        store.insert_all("press", batches())
    view = store.view("press")
    assert (view.rows, view.last_position, view.rejects) == (0, 0, 0)
    assert store.rejects("press") == []


def test_what_does_not_exist_is_said(store: CollectionStore) -> None:
    """Every question about a collection that is not there is answered with its name."""
    for ask in (store.spec, store.view, store.rows, store.rejects, store.last_position):
        with pytest.raises(NotFound, match="there is no collection nothing"):
            ask("nothing")
        with pytest.raises((NotFound, BadInput)):  # PostgreSQL cannot even look for such a name
            ask("no\x00thing")
    with pytest.raises(NotFound, match="there is no collection nothing"):
        store.insert("nothing", [{"label": "a"}])


def test_a_full_disk_is_said_and_nothing_is_written(tmp_path: Path) -> None:
    """A write that does not fit raises Unreachable, which callers try again, and leaves no half of a batch."""
    with closing(CollectionStore(f"sqlite:///{tmp_path / 'collections.db'}")) as store:
        store.declare(PRESS)
        with store._database.writing() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 4}")
        with pytest.raises(Unreachable, match="full"):
            store.insert("press", [{"label": "x" * 1000} for _ in range(100)])
        assert store.view("press").rows == 0


def test_writers_in_several_threads_lose_nothing(store: CollectionStore) -> None:
    """Threads that insert at the same time wait for each other; every row gets a position of its own."""

    def write(number: int) -> None:
        for step in range(20):
            store.insert("press", [{"strokes": number * 1000 + step}])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    rows = store.rows("press", limit=1000)
    assert sorted(int(str(row["strokes"])) for row in rows) == [n * 1000 + s for n in range(4) for s in range(20)]
    assert [row["position"] for row in rows] == list(range(1, 81))


def test_a_store_opened_again_holds_what_it_held(store: CollectionStore, any_database_url: str) -> None:
    """Declarations, rows and noted subscriptions outlive the process."""
    store.insert("press", [{"label": "a"}])
    store.note_subscribed("press", ["b/#", "a"])
    store.close()
    with closing(CollectionStore(any_database_url)) as again:
        assert again.specs() == (PRESS,)
        assert [row["label"] for row in again.rows("press")] == ["a"]
        assert again.subscribed() == {"press": {"a", "b/#"}}


@pytest.mark.parametrize("url", ["nonsense", "sqlite://", "sqlite:///:memory:", "mysql://u:secret@db/x"])
def test_a_database_that_cannot_be_used_is_refused(url: str) -> None:
    """The message says what to write instead, and tells no password."""
    with pytest.raises(BadInput, match="write sqlite:///") as refused:
        CollectionStore(url)
    assert "secret" not in str(refused.value)
