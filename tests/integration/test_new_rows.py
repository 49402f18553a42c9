"""Which rows are new to a run, how many of them it gets, and what is left for the next."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from controller.data.selection import Asked
from controller.stores.collections import CollectionStore
from schemas.errors import BadInput
from schemas.models import Window
from schemas.queries import Query
from tests.integration.selecting import LINES, PRESS, ask, new, rows_of, select
from transport.blob_store import BlobDirectory

NEW = Query(query="SELECT position, strokes FROM press", new_data_only=True, collection="press")
BOTH = Query(
    query="SELECT 'press' AS of, position AS p FROM press UNION ALL SELECT 'lines', position FROM lines",
    new_data_only=True,
    collection=("press", "lines"),
)


@pytest.fixture
def store(any_database_url: str) -> Iterator[CollectionStore]:
    """An open store with two collections, both empty, on each database."""
    with closing(CollectionStore(any_database_url)) as opened:
        opened.declare_all([PRESS, LINES])
        yield opened


@pytest.fixture
def blobs(tmp_path: Path) -> BlobDirectory:
    """Where selected rows go."""
    return BlobDirectory(tmp_path / "blobs")


def test_thousands_of_new_rows_come_at_once(store: CollectionStore, blobs: BlobDirectory) -> None:
    """A run gets every new row, however many there are, in one file (defects 1, 2)."""
    store.insert("press", [{"strokes": number} for number in range(2_345)])
    (selection,) = select(store, NEW, blobs).data
    assert [row["strokes"] for row in rows_of(selection, blobs)] == list(range(2_345))


def test_rows_that_come_while_a_run_goes_on_are_the_next_ones(store: CollectionStore, blobs: BlobDirectory) -> None:
    """What is new is told by the positions that the last training saw, not by when it ended (defect 3)."""
    store.insert("press", [{"strokes": 1}, {"strokes": 2}])
    (first,) = select(store, NEW, blobs).data
    store.insert("press", [{"strokes": 3}])  # while the first run trains
    (second,) = select(store, new(NEW, press=first.windows["press"].upto), blobs).data
    assert [row["strokes"] for row in rows_of(second, blobs)] == [3]


def test_each_of_several_collections_has_a_mark_of_its_own(store: CollectionStore, blobs: BlobDirectory) -> None:
    """A query over new rows of two collections sees of each what lies behind its own mark."""
    store.insert("press", [{}] * 5)
    store.insert("lines", [{}] * 3)
    (selection,) = select(store, new(BOTH, press=4, lines=1), blobs).data
    found = sorted((str(row["of"]), int(str(row["p"]))) for row in rows_of(selection, blobs))
    assert found == [("lines", 2), ("lines", 3), ("press", 5)]
    assert selection.windows == {"press": Window(after=4, upto=5), "lines": Window(after=1, upto=3)}
    assert selection.new_in == ("press", "lines")


def test_a_full_run_sees_all_rows_and_still_says_how_far_it_got(store: CollectionStore, blobs: BlobDirectory) -> None:
    """Asked for in full, a query for new rows starts at the beginning; its window ends at the newest row."""
    store.insert("press", [{}] * 7)
    (selection,) = select(store, Asked((NEW,), {1: {"press": 5}}, full=True), blobs).data
    assert (selection.rows, selection.windows["press"]) == (7, Window(after=0, upto=7))
    assert selection.new_in == ("press",)


def test_too_many_new_rows_are_taken_in_turns(store: CollectionStore, blobs: BlobDirectory) -> None:
    """With max_rows a run gets the oldest new rows; run by run each row comes once, and none is passed over."""
    store.insert("press", [{"strokes": number} for number in range(25)])
    seen: list[object] = []
    sizes, after = [], 0
    for _ in range(4):
        (selection,) = select(store, Asked((NEW,), {1: {"press": after}}, max_rows=10), blobs).data
        sizes.append(selection.rows)
        seen += [row["strokes"] for row in rows_of(selection, blobs)]
        after = selection.windows["press"].upto
    assert sizes == [10, 10, 5, 0]
    assert seen == list(range(25))


def test_several_collections_are_narrowed_each(store: CollectionStore, blobs: BlobDirectory) -> None:
    """What two collections give together may be no more than max_rows; each has its oldest rows in the window."""
    store.insert("press", [{}] * 9)
    store.insert("lines", [{}] * 2)
    joined = BOTH.model_copy(update={"query": "SELECT * FROM press JOIN lines ON press.position = lines.position"})
    (selection,) = select(store, Asked((joined,), max_rows=4), blobs).data
    assert (selection.windows["press"].upto, selection.windows["lines"].upto, selection.rows) == (4, 2, 2)


@pytest.mark.parametrize(
    ("query", "full"),
    [
        (Query(query="SELECT * FROM press"), False),
        (NEW, True),
        (NEW.model_copy(update={"query": "SELECT a.position FROM press a, press b"}), False),
    ],
    ids=["all rows", "full", "a join"],
)
def test_more_rows_than_may_be_are_an_error(
    store: CollectionStore, blobs: BlobDirectory, query: Query, *, full: bool
) -> None:
    """Where no later run could take the rest, more than max_rows is refused, and nothing is kept of it."""
    store.insert("press", [{}] * 12)
    with pytest.raises(BadInput, match="query 1: it gives more rows than max_rows, which is 11"):
        select(store, Asked((query,), full=full, max_rows=11), blobs)
    assert list(blobs.digests()) == []


def test_values_with_colons_are_whole(store: CollectionStore, blobs: BlobDirectory) -> None:
    """A text with colons comes as it was sent, and stands in a query as any other (defect 8)."""
    name = "hall:2:press:7 :: a'b"
    store.insert("press", [{"line": name}, {"line": "hall"}])
    assert ask(store, blobs, "SELECT line FROM press WHERE line = 'hall:2:press:7 :: a''b'") == [{"line": name}]
