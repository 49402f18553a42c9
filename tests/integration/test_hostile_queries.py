"""The corpus of hostile queries against real databases: refused or ended, and nothing is changed by any."""

from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from controller.stores.collections import CollectionStore
from schemas.errors import BadInput
from schemas.queries import Query
from tests.integration.selecting import LINES, PRESS, select
from tests.unit.hostile_queries import BOMBS, DEEP, EMPTY, POSTGRES_BOMBS, REFUSED, SQLITE_BOMBS
from transport.blob_store import BlobDirectory

ROWS = 200
TIMEOUT_S = 0.3
MAX_BYTES = 1_000_000


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectionStore]:
    """An open store with rows, on each database; all tests of this module share it, since none can change it."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('hostile')}/collections.db"
        with closing(_filled(url)) as opened:
            yield opened
    else:
        server = request.getfixturevalue("postgres")
        with server.database() as url, closing(_filled(url)) as opened:
            yield opened


def _filled(url: str) -> CollectionStore:
    store = CollectionStore(url)
    store.declare_all([PRESS, LINES])
    store.insert("press", [{"line": "ab" * 20, "strokes": number} for number in range(ROWS)])
    return store


@pytest.fixture(autouse=True)
def nothing_changes(store: CollectionStore) -> Iterator[None]:
    """Whatever a test tries, rows, declarations and files are afterwards as they were."""
    before = _state(store)
    yield
    assert _state(store) == before
    assert not list(Path("/tmp").glob("tidemill-hostile*"))  # noqa: S108 - where the corpus would write


def _state(store: CollectionStore) -> object:
    return store.specs(), store.view("press"), store.view("lines"), store.rows("press", limit=ROWS + 1)


def ids(queries: list[str]) -> list[str]:
    """Short names for tests."""
    return [f"{number}: {sql[:50].encode('ascii', 'replace').decode()}" for number, sql in enumerate(queries)]


@pytest.mark.parametrize("sql", REFUSED, ids=ids(REFUSED))
def test_what_does_harm_is_refused(store: CollectionStore, tmp_path: Path, sql: str) -> None:
    """A query that would do anything but read collections and compute is refused, and says why (defect 6)."""
    blobs = BlobDirectory(tmp_path)
    with pytest.raises(BadInput, match=r"query 1: ."):
        select(store, Query.model_construct(query=sql), blobs, max_bytes=MAX_BYTES, timeout_s=TIMEOUT_S)
    assert list(blobs.digests()) == []


@pytest.mark.parametrize("sql", REFUSED[len(EMPTY) :], ids=ids(REFUSED[len(EMPTY) :]))
def test_the_second_wall_holds_alone(store: CollectionStore, sql: str) -> None:
    """Were the text not checked at all, the database itself would change nothing and answer in time (defect 6)."""
    with suppress(BadInput), store.reader(timeout_s=TIMEOUT_S) as reader, reader.run(sql, ["press", "lines"]) as result:
        for _ in zip(range(1000), result.rows, strict=False):
            pass


def _bombs(store: CollectionStore) -> list[str]:
    return [*BOMBS, *(SQLITE_BOMBS if store.dialect == "sqlite" else POSTGRES_BOMBS)]


@pytest.mark.parametrize("number", range(len(BOMBS) + max(len(SQLITE_BOMBS), len(POSTGRES_BOMBS))))
def test_a_bomb_is_ended(store: CollectionStore, tmp_path: Path, number: int) -> None:
    """A query that would run or grow for ever ends within its time and its bytes; the next one is answered."""
    bombs = _bombs(store)
    if number >= len(bombs):
        pytest.skip("this database has fewer")
    with suppress(BadInput):
        (selection,) = select(
            store, Query(query=bombs[number]), BlobDirectory(tmp_path), max_bytes=MAX_BYTES, timeout_s=TIMEOUT_S
        ).data
        assert selection.blob.size_bytes <= MAX_BYTES


@pytest.mark.parametrize("sql", DEEP, ids=ids(DEEP))
def test_depth_and_length_end_too(store: CollectionStore, tmp_path: Path, sql: str) -> None:
    """A query nested thousands deep or thousands long is refused or answered, and takes nothing down with it."""
    with suppress(BadInput):
        select(store, Query.model_construct(query=sql), BlobDirectory(tmp_path), timeout_s=TIMEOUT_S)


def test_the_corpus_is_large() -> None:
    """There are at least 150 hostile queries, none of them twice."""
    assert len(set(REFUSED)) == len(REFUSED)
    assert len(REFUSED) + len(BOMBS) + len(DEEP) + len(SQLITE_BOMBS) + len(POSTGRES_BOMBS) >= 150
