"""From a device's message to a row, over a real broker that is killed, and processes that die."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import orjson
import pytest

from controller.data.ingestion import Ingestion
from controller.stores.collections import CollectionStore
from schemas.broker import BrokerAddress
from schemas.collections import CollectionSpec, ColumnType
from schemas.errors import Unreachable
from tests.conftest import Mosquitto
from transport.mqtt import Link, connect

PRESS = CollectionSpec(
    name="press",
    columns={"stroke": ColumnType.INTEGER, "force": ColumnType.REAL},
    required=("stroke",),
    topics=("factory/+/press",),
)
PATIENCE_S = 60.0
AT_ONCE = 20  # messages that a device has on their way


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The address of the collection store."""
    return f"sqlite:///{tmp_path}/collections.db"


@pytest.fixture
def store(url: str) -> Iterator[CollectionStore]:
    """An open store with one empty collection."""
    with closing(CollectionStore(url)) as opened:
        opened.declare(PRESS)
        yield opened


@asynccontextmanager
async def serving(
    broker: BrokerAddress, store: CollectionStore, spec: CollectionSpec = PRESS
) -> AsyncIterator[Ingestion]:
    """An ingestion that listens, for the length of the block."""
    ingestion = Ingestion(broker, store)
    task = asyncio.create_task(ingestion.serve())
    try:
        async with asyncio.timeout(PATIENCE_S):
            await ingestion.listening(spec)
        yield ingestion
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def process(url: str, broker: BrokerAddress, *commits: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """An ingestion in a process of its own, killed at the end of the block if it has not ended by itself."""
    program = [sys.executable, "-m", "tests.integration.ingesting_process", url, broker.url, *commits]
    started = await asyncio.create_subprocess_exec(*program)
    try:
        yield started
    finally:
        with suppress(ProcessLookupError):
            started.kill()
        await started.wait()


async def until(check: Callable[[], bool]) -> None:
    """Wait until something is so, under a bound."""
    async with asyncio.timeout(PATIENCE_S):
        while not await asyncio.to_thread(check):  # noqa: ASYNC110 - what another process commits is no event here
            await asyncio.sleep(0.02)


async def press(link: Link, strokes: range, machine: str = "m1") -> None:
    """Publish one message for each stroke, as a device does."""
    for start in range(strokes.start, strokes.stop, AT_ONCE):
        async with asyncio.TaskGroup() as group:
            for stroke in range(start, min(start + AT_ONCE, strokes.stop)):
                payload = orjson.dumps({"stroke": stroke, "force": 0.5})
                group.create_task(link.publish(f"factory/{machine}/press", payload, timeout_s=PATIENCE_S))


def strokes_in(store: CollectionStore) -> Counter[int]:
    """How often each stroke stands in the collection."""
    return Counter(int(str(row["stroke"])) for row in store.rows("press", limit=100_000))


async def test_messages_become_rows_and_rejects(broker: BrokerAddress, store: CollectionStore) -> None:
    """What fits is a row; what does not is kept with its topic and the reason; the device goes on being heard."""
    async with serving(broker, store) as ingestion, connect(broker, "device") as device:
        await device.publish("factory/m1/press", b'{"stroke":1,"force":2}')
        await device.publish("factory/m2/press", b"out of paper")
        await device.publish("factory/m3/press", b'[{"stroke":2,"colour":"red"},{"stroke":"three"},{"stroke":4}]')
        await until(lambda: store.view("press").rows == 3)
    assert sorted(strokes_in(store)) == [1, 2, 4]
    rejects = {reject.source: reject for reject in store.rejects("press")}
    assert rejects["factory/m2/press"].reason.startswith("not JSON")
    assert rejects["factory/m2/press"].payload == "out of paper"
    assert rejects["factory/m3/press"].reason == 'row 2: column stroke should be integer, but is "three" (text)'
    counters = ingestion.counters["press"]
    assert (counters.accepted, counters.rejected, counters.ignored_keys) == (3, 2, 1)


async def test_what_comes_while_nobody_listens_is_taken_later(broker: BrokerAddress, store: CollectionStore) -> None:
    """Messages published while the controller is away wait at the broker, and each becomes one row."""
    async with serving(broker, store):
        pass
    async with connect(broker, "device") as device:
        await press(device, range(500))
    assert strokes_in(store) == {}
    async with serving(broker, store):
        await until(lambda: store.view("press").rows >= 500)
    assert strokes_in(store) == Counter(range(500))


async def test_an_orderly_stop_repeats_nothing(broker: BrokerAddress, store: CollectionStore) -> None:
    """Stopped in the middle of work and started again, many times: what was committed was acknowledged too."""
    async with serving(broker, store):
        pass
    async with connect(broker, "device") as device, asyncio.TaskGroup() as group:
        sending = group.create_task(press(device, range(3000)))
        for wanted in range(200, 3000, 400):
            async with serving(broker, store):
                await until(lambda wanted=wanted: store.view("press").rows >= wanted)  # type: ignore[misc]
        await sending
    async with serving(broker, store):
        await until(lambda: store.view("press").rows >= 3000)
    assert strokes_in(store) == Counter(range(3000))


async def test_a_broker_that_comes_later_is_found(mosquitto: Mosquitto, store: CollectionStore) -> None:
    """A controller that starts before its broker listens as soon as there is one."""
    mosquitto.kill()
    ingestion = Ingestion(mosquitto.address, store)
    task = asyncio.create_task(ingestion.serve())
    listening = asyncio.create_task(ingestion.listening(PRESS))
    try:
        done, _ = await asyncio.wait([listening, task], timeout=0.3)
        assert not done
        mosquitto.start()
        async with asyncio.timeout(PATIENCE_S):
            await listening
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_burst_is_taken_without_loss(broker: BrokerAddress, store: CollectionStore) -> None:
    """Ten thousand messages from four devices at once become ten thousand rows."""
    async with serving(broker, store):
        async with asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(burst(broker, number))
        await until(lambda: store.view("press").rows >= 10_000)
    assert strokes_in(store) == Counter(range(10_000))


async def burst(broker: BrokerAddress, number: int) -> None:
    """One device's quarter of ten thousand strokes."""
    async with connect(broker, f"device-{number}") as device:
        await press(device, range(number * 2500, (number + 1) * 2500), f"m{number}")


async def test_death_between_commit_and_acknowledgement_repeats_but_never_loses(
    broker: BrokerAddress, store: CollectionStore, url: str
) -> None:
    """A process killed after a commit is delivered that batch again, so its rows are there twice."""
    async with connect(broker, "device") as device:
        async with serving(broker, store):
            pass
        await press(device, range(200))
        unacknowledged: set[int] = set()
        for _ in range(2):
            async with process(url, broker, "1") as dying, asyncio.timeout(PATIENCE_S):
                assert await dying.wait() == -9
            unacknowledged |= last_batch(store)
        async with serving(broker, store):
            await press(device, range(200, 210))
            await until(lambda: strokes_in(store).keys() >= set(range(210)))
    seen = strokes_in(store)
    assert seen.keys() == set(range(210))
    assert {stroke for stroke, times in seen.items() if times > 1} >= unacknowledged
    assert max(seen.values()) <= 3


def last_batch(store: CollectionStore) -> set[int]:
    """The strokes that were committed last: rows of one transaction have the same time."""
    rows = store.rows("press", limit=100_000)
    return {int(str(row["stroke"])) for row in rows if row["created"] == rows[-1]["created"]}


async def test_kills_at_any_moment_lose_nothing(broker: BrokerAddress, store: CollectionStore, url: str) -> None:
    """While a device goes on sending, the process is killed and started again; every message becomes a row."""
    async with serving(broker, store):
        pass
    async with connect(broker, "device") as device, asyncio.TaskGroup() as group:
        sending = group.create_task(press(device, range(3000)))
        for wanted in (300, 900, 1500):
            async with process(url, broker):
                await until(lambda wanted=wanted: store.view("press").rows > wanted)  # type: ignore[misc]
        await sending
    async with serving(broker, store):
        await until(lambda: strokes_in(store).keys() >= set(range(3000)))
    seen = strokes_in(store)
    assert seen.keys() == set(range(3000))
    assert max(seen.values()) <= 4  # once, and once again for each kill


async def test_a_broker_that_was_killed_is_listened_to_again(mosquitto: Mosquitto, store: CollectionStore) -> None:
    """A new broker that remembers no session delivers again once the connection is back."""
    async with serving(mosquitto.address, store), connect(mosquitto.address, "device") as device:
        await press(device, range(10))
        await until(lambda: strokes_in(store).keys() >= set(range(10)))
        mosquitto.kill()
        mosquitto.start()

        def heard() -> bool:
            return any(stroke >= 10 for stroke in strokes_in(store))

        stroke = 10
        async with asyncio.timeout(PATIENCE_S):
            while not await asyncio.to_thread(heard):  # what is published before the session is made again is lost
                with suppress(Unreachable):
                    await press(device, range(stroke, stroke + 1))
                stroke += 1
    assert strokes_in(store).keys() >= set(range(10))


async def test_a_full_disk_holds_messages_back(broker: BrokerAddress, store: CollectionStore) -> None:
    """What cannot be committed is not acknowledged but tried again, and nothing is lost or repeated by it."""

    def allow(pages: int) -> None:
        with store._database.writing() as connection:
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    async with serving(broker, store) as ingestion, connect(broker, "device") as device:
        allow(1)  # which SQLite takes for: no more than there are
        await press(device, range(2000))
        await until(lambda: ingestion.counters["press"].retries >= 2)
        assert strokes_in(store).total() < 2000
        allow(1_000_000)
        await until(lambda: store.view("press").rows >= 2000)
    assert strokes_in(store) == Counter(range(2000))


async def test_stale_topics_are_left(broker: BrokerAddress, store: CollectionStore) -> None:
    """After a change of topics, the old ones feed the collection no more: in this process or in the next."""
    moved = PRESS.model_copy(update={"topics": ("line/press", "hall/#")})
    again = PRESS.model_copy(update={"topics": ("yard/press",)})
    async with connect(broker, "device") as device:
        async with serving(broker, store) as ingestion:
            store.declare(moved)
            ingestion.refresh()
            async with asyncio.timeout(PATIENCE_S):
                await ingestion.listening(moved)
            await device.publish("factory/m1/press", b'{"stroke":1}')
            await device.publish("line/press", b'{"stroke":2}')
            await device.publish("hall/7/press", b'{"stroke":3}')
            await until(lambda: store.view("press").rows >= 2)
        assert strokes_in(store) == {2: 1, 3: 1}
        store.declare(again)
        async with serving(broker, store, again):
            await device.publish("line/press", b'{"stroke":4}')
            await device.publish("yard/press", b'{"stroke":5}')
            await until(lambda: store.view("press").rows >= 3)
    assert strokes_in(store) == {2: 1, 3: 1, 5: 1}
    assert store.subscribed() == {"press": {"yard/press"}}


async def test_without_topics_the_broker_keeps_nothing(broker: BrokerAddress, store: CollectionStore) -> None:
    """A collection that lost its topics leaves no session in which messages would pile up for ever."""
    silent = PRESS.model_copy(update={"topics": ()})
    async with connect(broker, "device") as device:
        async with serving(broker, store) as ingestion:
            store.declare(silent)
            ingestion.refresh()
            await until(lambda: store.subscribed() == {})
        await device.publish("factory/m1/press", b'{"stroke":1}')
        store.declare(PRESS)
        async with serving(broker, store):
            await device.publish("factory/m1/press", b'{"stroke":2}')
            await until(lambda: store.view("press").rows >= 1)
    assert strokes_in(store) == {2: 1}


async def test_a_new_column_is_filled_at_once(broker: BrokerAddress, store: CollectionStore) -> None:
    """A column that was added is filled by the next message, on the same session."""
    wider = PRESS.model_copy(update={"columns": {**PRESS.columns, "note": ColumnType.TEXT}})
    async with serving(broker, store) as ingestion, connect(broker, "device") as device:
        await device.publish("factory/m1/press", b'{"stroke":1,"note":"a"}')
        await until(lambda: store.view("press").rows == 1)
        store.declare(wider)
        ingestion.refresh()
        stroke = 2
        async with asyncio.timeout(PATIENCE_S):
            while not any(row["note"] for row in await asyncio.to_thread(store.rows, "press")):
                await device.publish("factory/m1/press", orjson.dumps({"stroke": stroke, "note": "b"}))
                stroke += 1
    assert store.rows("press")[0]["note"] is None


async def test_retained_messages_are_no_rows(broker: BrokerAddress, store: CollectionStore) -> None:
    """What the broker repeats at each subscription would become a row at each restart: it is passed over."""
    async with connect(broker, "device") as device:
        await device.publish("factory/m1/press", b'{"stroke":1}', retain=True)
        for _ in range(3):
            async with serving(broker, store) as ingestion:
                await until(lambda: ingestion.counters["press"].retained == 1)
        async with serving(broker, store):
            await device.publish("factory/m1/press", b'{"stroke":2}', retain=True)
            await until(lambda: store.view("press").rows >= 1)
    assert strokes_in(store) == {2: 1}
