"""Which rows count as reached while others write on PostgreSQL, slowly and in any order."""

import random
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
import pytest

from controller.stores.collection_postgres import SCHEMA
from controller.stores.collections import CollectionStore
from schemas.collections import CollectionSpec, ColumnType

PRESS = CollectionSpec(name="press", columns={"label": ColumnType.TEXT})
LINES = CollectionSpec(name="Lines", columns={"label": ColumnType.TEXT})
TABLE = f"{SCHEMA}.press"
INSERT = f"INSERT INTO {TABLE} (label) SELECT 'direct' FROM generate_series(1, %s)"  # noqa: S608


@pytest.fixture
def store(postgres_url: str) -> Iterator[CollectionStore]:
    """An open store with two empty collections."""
    with closing(CollectionStore(postgres_url)) as opened:
        opened.declare(PRESS)
        opened.declare(LINES)
        yield opened


@contextmanager
def writer(postgres_url: str) -> Iterator[psycopg.Connection]:
    """Somebody who writes into the tables without us."""
    with closing(psycopg.connect(postgres_url.replace("+psycopg", ""))) as connection:
        yield connection


class Follower:
    """Selects again and again what is new, as a job does."""

    def __init__(self, store: CollectionStore) -> None:
        self._store, self._after = store, 0
        self.seen: list[int] = []

    def select(self) -> None:
        """Take the rows behind the last selection."""
        with self._store.reader(timeout_s=60) as reader:
            upto = reader.last_position("press")
            new = f"SELECT position FROM {TABLE} WHERE position > {self._after} AND position <= {upto}"  # noqa: S608
            with reader.run(new, ["press"]) as result:
                self.seen += sorted(int(str(position)) for (position,) in result.rows)
        self._after = max(self._after, upto)


def all_positions(store: CollectionStore) -> list[int]:
    """Every row that there is in the end."""
    return [int(str(row["position"])) for row in store.rows("press", limit=1_000_000)]


@pytest.mark.parametrize("seed", range(3))
def test_no_order_of_commits_loses_a_row(store: CollectionStore, postgres_url: str, seed: int) -> None:
    """Whatever the order in which transactions write, commit and are undone: each row is selected exactly once."""
    chance = random.Random(seed)
    follower = Follower(store)
    with (
        writer(postgres_url) as one,
        writer(postgres_url) as two,
        writer(postgres_url) as three,
        writer(postgres_url) as four,
    ):
        writers = [one, two, three, four]
        for _ in range(200):
            match chance.randrange(8):
                case 0 | 1 | 2:
                    chance.choice(writers).execute(INSERT, [chance.randrange(1, 4)])
                case 3 | 4:
                    chance.choice(writers).commit()
                case 5:
                    chance.choice(writers).rollback()
                case 6:
                    store.insert("press", [{"label": "ours"}] * chance.randrange(1, 4))
                case 7:
                    follower.select()
        for each in writers:
            each.commit()
    follower.select()
    assert follower.seen == all_positions(store)
    assert len(follower.seen) > 50


def test_writers_at_the_same_moment_lose_no_row(store: CollectionStore, postgres_url: str) -> None:
    """Selections beside writers of short and of long transactions, ours and others', miss no row and see none twice."""
    follower = Follower(store)
    ended = threading.Semaphore(0)

    def write_directly(seed: int) -> None:
        chance = random.Random(seed)
        with writer(postgres_url) as connection:
            for _ in range(60):
                for _ in range(chance.randrange(1, 6)):
                    connection.execute(INSERT, [chance.randrange(1, 5)])
                connection.rollback() if chance.random() < 0.2 else connection.commit()
        ended.release()

    def write_through_the_store() -> None:
        for _ in range(60):
            store.insert("press", [{"label": "ours"}] * 3)
        ended.release()

    threads = [threading.Thread(target=write_directly, args=(seed,)) for seed in range(4)]
    threads += [threading.Thread(target=write_through_the_store) for _ in range(2)]
    for thread in threads:
        thread.start()
    rounds = 0
    while any(thread.is_alive() for thread in threads):
        follower.select()
        rounds += 1
    assert all(ended.acquire(timeout=60) for _ in threads)
    follower.select()
    assert follower.seen == all_positions(store)
    assert rounds > 1


def test_a_hanging_writer_is_named_and_holds_back_its_collection_alone(
    store: CollectionStore, postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Rows behind an open transaction's wait for its end; the reason names it, and no other collection waits."""
    store.insert("press", [{"label": "before"}] * 2)
    with writer(postgres_url) as hanging:
        hanging.execute(INSERT, [1])
        pid = hanging.info.backend_pid
        store.insert("press", [{"label": "behind"}] * 3)
        store.insert("Lines", [{"label": "elsewhere"}])
        with store.reader(timeout_s=5) as reader:
            assert reader.last_position("press") == store.last_position("press") == 2
            assert f"the transaction of process {pid} (tidemill), open for " in reader.waits_for("press")
            assert (reader.last_position("Lines"), reader.waits_for("Lines")) == (1, "")
        assert [row["position"] for row in store.rows("press")] == [1, 2]
        assert (store.view("press").rows, store.view("press").last_position) == (5, 2)
        assert "held back" not in caplog.text  # a moment is nothing to speak of
        hanging.commit()
    with store.reader(timeout_s=5) as reader:
        assert (reader.last_position("press"), reader.waits_for("press")) == (6, "")


def test_what_was_undone_is_not_waited_for(store: CollectionStore, postgres_url: str) -> None:
    """Positions of undone transactions and savepoints are gaps: rows behind them are reached at once."""
    with writer(postgres_url) as connection:
        connection.execute(INSERT, [5])
        connection.rollback()
        connection.execute("SAVEPOINT here")
        connection.execute(INSERT, [2])
        connection.execute("ROLLBACK TO here")
        assert store.insert("press", [{"label": "a"}]) == store.last_position("press") == 8
        connection.execute(INSERT, [1])  # announced anew, since the first announcement was undone
        store.insert("press", [{"label": "b"}])
        assert store.last_position("press") == 8
        connection.commit()
    assert store.last_position("press") == 10


def test_a_prepared_transaction_is_waited_for(store: CollectionStore, postgres_url: str) -> None:
    """A transaction that no process holds any more, but that may still be committed, holds rows back and is named."""
    with writer(postgres_url) as connection:
        connection.tpc_begin("press")
        connection.execute(INSERT, [1])
        connection.tpc_prepare()
        store.insert("press", [{"label": "behind"}])
        with store.reader(timeout_s=5) as reader:
            assert reader.last_position("press") == 0
            assert reader.waits_for("press").startswith("a prepared transaction, open for ")
        connection.tpc_commit()
    assert store.last_position("press") == 2


def test_copied_rows_are_waited_for(store: CollectionStore, postgres_url: str) -> None:
    """COPY announces itself as INSERT does, and its rows get the time of arrival in the form of all others."""
    with writer(postgres_url) as connection:
        with connection.cursor().copy(f"COPY {TABLE} (label) FROM STDIN") as copy:
            copy.write_row(["copied"])
        store.insert("press", [{"label": "behind"}])
        assert store.last_position("press") == 0
        connection.commit()
    copied, behind = store.rows("press")
    assert (copied["position"], copied["label"], behind["position"]) == (1, "copied", 2)
    assert len(str(copied["created"])) == len(str(behind["created"])) == 32


def test_positions_beyond_32_bits_are_told_apart(store: CollectionStore, postgres_url: str) -> None:
    """An announcement keeps the lower half of a position only, and is understood across the wrap."""
    start = 3 * 2**32 - 2
    with writer(postgres_url) as connection:
        connection.execute(f"ALTER TABLE {TABLE} ALTER COLUMN position RESTART WITH {start}".encode())
        connection.commit()
        store.insert("press", [{"label": "a"}])
        connection.execute(INSERT, [1])
        store.insert("press", [{"label": "b"}] * 4)
        assert store.last_position("press") == start
        connection.commit()
        assert store.last_position("press") == start + 5
        connection.execute(INSERT, [1])
        store.insert("press", [{"label": "c"}])
        assert store.last_position("press") == start + 5


def test_nobody_chooses_a_position(store: CollectionStore, postgres_url: str) -> None:
    """A position of one's own, which could lie below those that were read, is refused by the table itself."""
    with writer(postgres_url) as connection, pytest.raises(psycopg.errors.GeneratedAlways):
        connection.execute(INSERT.replace("(label) SELECT", "(position, label) SELECT 1,"), [1])
    assert store.last_position("press") == 0


def test_a_long_transaction_announces_itself_once(store: CollectionStore, postgres_url: str) -> None:
    """However many rows a transaction adds, it holds one lock for each collection: the server's locks are bounded."""
    with writer(postgres_url) as connection:
        for _ in range(30):
            connection.execute(INSERT, [2])
            store.insert("press", [{"label": "between"}])
        held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock'"
        assert connection.execute(held).fetchone() == (1,)
        assert store.last_position("press") == 0
        connection.commit()
    assert store.last_position("press") == 90
