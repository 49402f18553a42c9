"""Rows that are held out: no run ever trains on one, on real databases."""

import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.data.query_check import QueryCheck
from controller.data.reservation import Reservation
from controller.data.selection import Asked
from controller.stores.collections import CollectionStore
from schemas.errors import BadInput
from schemas.models import DataSelection
from schemas.queries import Holdout, Query
from tests.integration.selecting import LINES, NO_SOURCES, PRESS, rows_of, select
from transport.blob_store import BlobDirectory

BOTH = "SELECT 'press' AS of, position AS p FROM press UNION ALL SELECT 'lines', position FROM lines"
QUERIES = (
    Query(query=BOTH, new_data_only=True, collection=("press", "lines")),
    Query(query=BOTH, new_data_only=True, collection="press"),
    Query(query="SELECT 'press' AS of, position AS p FROM press", new_data_only=True, collection="press"),
    Query(query=BOTH),
    Query(query="SELECT 'press' AS of, p.position AS p FROM press p LEFT JOIN lines ON p.position = lines.position"),
    Query(query="WITH x AS (SELECT * FROM lines) SELECT 'lines' AS of, max(position) AS p FROM x GROUP BY position"),
)
HOLDOUTS = st.builds(
    Holdout,
    query=st.sampled_from([BOTH, "SELECT 'press' AS of, position AS p FROM press"]),
    fraction=st.sampled_from([0.05, 0.3, 0.9]),
    seed=st.integers(0, 2**31 - 1),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["press", "lines"]), st.integers(1, 60)),
        st.tuples(st.sampled_from(["run", "full"]), st.none() | st.integers(5, 40)),
    ),
    min_size=3,
    max_size=12,
)


@pytest.fixture
def store(any_database_url: str) -> Iterator[CollectionStore]:
    """An open store with two collections, both empty, on each database."""
    with closing(CollectionStore(any_database_url)) as opened:
        opened.declare_all([PRESS, LINES])
        yield opened


def found(selection: DataSelection, blobs: BlobDirectory) -> set[tuple[str, int]]:
    """The rows that a selection holds: their collection and their position."""
    return {(str(row["of"]), int(str(row["p"]))) for row in rows_of(selection, blobs)}


@settings(max_examples=25)
@given(holdout=HOLDOUTS, steps=STEPS)
def test_no_run_ever_trains_on_a_row_that_is_held_out(holdout: Holdout, steps: list[tuple[str, int | None]]) -> None:
    """Whatever is asked of which collections, when rows come, in full or not, bounded or not: the two never meet."""
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(CollectionStore(f"sqlite:///{folder}/collections.db")) as store,
    ):
        store.declare_all([PRESS, LINES])
        blobs = BlobDirectory(Path(folder) / "blobs")
        trained: set[tuple[str, int]] = set()
        held: set[tuple[str, int]] = set()
        marks: dict[int, dict[str, int]] = {index: {} for index in range(1, len(QUERIES) + 1)}
        for what, number in steps:
            if what in {"press", "lines"}:
                store.insert(what, [{}] * (number or 0))
                continue
            bounded = number if what == "run" else None
            queries = QUERIES if bounded is None else QUERIES[2:3]
            shown = marks if bounded is None else {1: marks[3]}
            frozen = select(store, Asked(queries, shown, full=what == "full", max_rows=bounded, holdout=holdout), blobs)
            for index, selection in enumerate(frozen.data, start=1):
                trained |= found(selection, blobs)
                for name in selection.new_in:
                    shown[index][name] = max(shown[index].get(name, 0), selection.windows[name].upto)
            assert frozen.holdout is not None
            held |= found(frozen.holdout, blobs)
            assert not trained & held
        read = ("press", "lines") if holdout.query == BOTH else ("press",)
        chosen = Reservation(read, holdout.fraction, holdout.seed)
        assert all(chosen.holds(position) for _, position in held)
        assert not any(name in read and chosen.holds(position) for name, position in trained)


def test_what_is_not_held_out_is_trained_on(store: CollectionStore, tmp_path: Path) -> None:
    """On each database the same rows are held out, and all others are given to the run."""
    blobs = BlobDirectory(tmp_path)
    store.insert("press", [{}] * 500)
    store.insert("lines", [{}] * 7)
    holdout = Holdout(query="SELECT 'press' AS of, position AS p FROM press", fraction=0.2, seed=11)
    frozen = select(store, Asked((Query(query=BOTH),), holdout=holdout), blobs)
    chosen = Reservation(("press",), 0.2, 11)
    reserved = {("press", position) for position in range(1, 501) if chosen.holds(position)}
    assert frozen.holdout is not None
    assert found(frozen.holdout, blobs) == reserved
    everything = {("press", position) for position in range(1, 501)} | {("lines", number) for number in range(1, 8)}
    assert found(frozen.data[0], blobs) == everything - reserved
    assert 60 < len(reserved) < 140


def test_the_holdout_grows_with_its_collection(store: CollectionStore, tmp_path: Path) -> None:
    """Rows that were held out stay so; of those that come, the same share joins them."""
    blobs = BlobDirectory(tmp_path)
    holdout = Holdout(query="SELECT 'press' AS of, position AS p FROM press ORDER BY p", fraction=0.5)
    sizes: list[set[tuple[str, int]]] = []
    for _ in range(3):
        store.insert("press", [{}] * 40)
        frozen = select(store, Asked((), holdout=holdout), blobs)
        assert frozen.holdout is not None
        sizes.append(found(frozen.holdout, blobs))
    assert sizes[0] < sizes[1] < sizes[2]


def test_a_joined_collection_of_the_holdout_is_shared(store: CollectionStore, tmp_path: Path) -> None:
    """Both collections that the holdout's query joins are divided, and by the same positions."""
    blobs = BlobDirectory(tmp_path)
    store.insert("press", [{}] * 100)
    store.insert("lines", [{}] * 100)
    joined = "SELECT 'press' AS of, a.position AS p FROM press a JOIN lines b ON a.position = b.position"
    frozen = select(store, Asked((Query(query=joined),), holdout=Holdout(query=joined, fraction=0.5)), blobs)
    assert frozen.holdout is not None
    assert frozen.data[0].rows + frozen.holdout.rows == 100


def test_new_rows_are_counted_without_those_held_out(store: CollectionStore, tmp_path: Path) -> None:
    """With max_rows a run gets that many rows to train on, and the holdout takes none of them."""
    blobs = BlobDirectory(tmp_path)
    store.insert("press", [{}] * 300)
    asked = Asked(QUERIES[2:3], max_rows=50, holdout=Holdout(query="SELECT * FROM press", fraction=0.5))
    assert select(store, asked, blobs).data[0].rows == 50


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("DELETE FROM press", "begins with 'DELETE'"),
        ("SELECT * FROM presses", "there is no collection presses"),
        ("SELECT colour FROM press", "colour"),
    ],
)
def test_a_mistake_in_the_holdout_is_told(store: CollectionStore, tmp_path: Path, sql: str, reason: str) -> None:
    """A holdout's query that cannot run is refused when its job is declared, and by name when a run comes to it."""
    holdout = Holdout(query=sql)
    with pytest.raises(BadInput, match=reason):
        QueryCheck(store, NO_SOURCES).holdout(holdout, [PRESS, LINES])
    with pytest.raises(BadInput, match=f"the holdout's query: .*{reason}"):
        select(store, Asked((), holdout=holdout), BlobDirectory(tmp_path))
