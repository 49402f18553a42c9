"""Rows that pipelines collect: into their collection, each once, whatever is killed on the way."""

import asyncio
import shutil
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from uuid import UUID, uuid4

import orjson
import psutil
import pytest

from controller.data.collected import CollectedRows
from controller.stores.collections import CollectionStore
from pipeline_runtime.outside.spool import Spool
from schemas.broker import BrokerAddress
from schemas.collected import RowsAck, RowsHead
from schemas.collections import CollectionSpec, ColumnType
from schemas.errors import BadInput
from schemas.manifest import WantedPipeline
from schemas.pipelines import PipelineSpec
from schemas.report import PipelineState
from schemas.topics import ROW_ACKS, ROWS
from tests.conftest import Mosquitto
from tests.integration.agent_process import AgentProcess, until
from tests.integration.scripted_controller import EDGE, ScriptedController
from transport.mqtt import Link, connect

SEEN = CollectionSpec(name="seen", columns={"n": ColumnType.INTEGER, "line": ColumnType.TEXT}, required=("n",))
PATIENCE_S = 60.0


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The address of the collection store."""
    return f"sqlite:///{tmp_path}/collections.db"


@pytest.fixture
def store(url: str) -> Iterator[CollectionStore]:
    """A store with one empty collection."""
    with closing(CollectionStore(url)) as opened:
        opened.declare(SEEN)
        yield opened


@asynccontextmanager
async def collecting(url: str, broker: BrokerAddress, *commits: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The controller's part in a process of its own, killed at the end of the block."""
    program = [sys.executable, "-m", "tests.integration.collecting_process", url, broker.url, *commits]
    started = await asyncio.create_subprocess_exec(*program)
    try:
        yield started
    finally:
        with suppress(ProcessLookupError):
            started.kill()
        await started.wait()


def numbers(store: CollectionStore, collection: str = "seen") -> Counter[int]:
    """How often each number stands in the collection."""
    return Counter(int(str(row["n"])) for row in store.rows(collection, limit=100_000))


def keeping(scripted: ScriptedController, version: int = 1, *, behind: str = "", **keep: object) -> WantedPipeline:
    """A pipeline that collects what it is given; a library of this source may stand behind."""
    library = {"id": "last", "type": "library", "library": "pipelib_last", "inputs": ["keep"]}
    spec = PipelineSpec.model_validate(
        {
            "name": "keeping",
            "nodes": [
                {"id": "in", "type": "mqtt_sub", "topic": "t/{line}/in"},
                {"id": "keep", "type": "collect", "collection": "seen", "inputs": ["in"], **keep},
                *([library] if behind else []),
            ],
        }
    )
    written = scripted.blobs.put_bytes(spec.model_dump_json().encode())
    libraries = {"pipelib_last": scripted.blobs.put_bytes(behind.encode())} if behind else {}
    return WantedPipeline(name="keeping", version=version, spec=written, libraries=libraries)


async def listening(scripted: ScriptedController, *, timeout_s: float = PATIENCE_S) -> None:
    """Wait until the pipeline takes messages."""
    await scripted.report(
        lambda report: [status.state for status in report.pipelines] == [PipelineState.LISTENING], timeout_s=timeout_s
    )


async def send(device: Link, wanted: range) -> None:
    """Publish one message for each number; returns when the broker has them."""
    payloads = [orjson.dumps({"n": number, "line": "a"}) for number in wanted]
    await asyncio.gather(*(device.publish("t/a/in", payload, timeout_s=PATIENCE_S) for payload in payloads))


def workers(agent: AgentProcess) -> list[psutil.Process]:
    """The workers of an agent."""
    children = psutil.Process(agent.pid).children(recursive=True)
    return [child for child in children if "edge_agent.worker.pipeline_worker" in " ".join(child.cmdline())]


def kept_files(agent: AgentProcess) -> list[Path]:
    """The spools on the edge's disk."""
    return list((agent.data_dir / "pipeline_states").glob("*/*/*/rows.sqlite"))


def waiting_in(file: Path) -> object:
    """What is still to be sent."""
    with closing(Spool(file)) as spool:
        return spool.oldest(1)


@pytest.mark.usefixtures("agent")
async def test_rows_reach_their_collection(
    broker: BrokerAddress, store: CollectionStore, url: str, scripted: ScriptedController
) -> None:
    """What fits is a row, what does not is a reject with its edge's name, and neither holds up the next."""
    await scripted.want(pipelines=(keeping(scripted),))
    await listening(scripted)
    async with collecting(url, broker), connect(broker, "device") as device:
        for payload in (b'{"n":1,"line":"a"}', b'[{"n":2},{"n":"three"},{"n":4}]', b'{"m":5}', b'{"n":6}'):
            await device.publish("t/a/in", payload)
        await until(lambda: store.view("seen").rows == 4, timeout_s=PATIENCE_S)
    assert sorted(numbers(store)) == [1, 2, 4, 6]
    rejects = {(reject.source, reject.reason) for reject in store.rejects("seen")}
    assert rejects == {
        (f"edge {EDGE}", 'column n should be integer, but is "three" (text)'),
        (f"edge {EDGE}", "holds none of the columns n, line"),
    }


async def test_a_worker_that_dies_before_it_acknowledges_repeats_nothing(
    broker: BrokerAddress, store: CollectionStore, url: str, scripted: ScriptedController, agent: AgentProcess
) -> None:
    """The row is on the edge's disk, and the worker ends: the broker sends the message again, and its row is known."""
    mark = agent.data_dir / "died"
    dying = f"""
import os, pathlib, signal
def exec(given):
    if given["n"] == 5 and not pathlib.Path({str(mark)!r}).exists():
        pathlib.Path({str(mark)!r}).touch()
        os.kill(os.getpid(), signal.SIGKILL)
"""
    await scripted.want(pipelines=(keeping(scripted, behind=dying),))
    await listening(scripted)
    async with collecting(url, broker), connect(broker, "device") as device:
        await send(device, range(20))
        await until(lambda: store.view("seen").rows >= 20, timeout_s=PATIENCE_S)
        await scripted.report(lambda report: sum(status.answered for status in report.pipelines) >= 15)
        await until(lambda: all(waiting_in(file) is None for file in kept_files(agent)))
    assert mark.exists()
    assert numbers(store) == Counter(range(20))


async def test_a_connection_that_breaks_over_hundreds_of_messages_repeats_no_row(
    broker: BrokerAddress, store: CollectionStore, url: str, scripted: ScriptedController, agent: AgentProcess
) -> None:
    """The broker sends again all that the worker had waiting, and long after their rows: each is known still."""
    slow = "import time\ndef exec(given):\n    time.sleep(0.003)\n"
    await scripted.want(pipelines=(keeping(scripted, behind=slow),))
    await listening(scripted)
    async with collecting(url, broker), connect(broker, "device") as device:
        sending = asyncio.create_task(send(device, range(900)))
        for rows in (100, 300):
            await until(lambda: store.view("seen").rows >= rows, timeout_s=PATIENCE_S)  # noqa: B023 - asked at once
            async with connect(broker, f"tidemill-{EDGE}-pipeline-keeping", clean_session=False):
                pass  # ends the worker's connection, and takes nothing
        await sending
        await scripted.report(lambda report: sum(status.answered for status in report.pipelines) > 900)
        await until(lambda: all(waiting_in(file) is None for file in kept_files(agent)), timeout_s=PATIENCE_S)
    assert numbers(store) == Counter(range(900))


async def test_kills_lose_nothing_and_repeat_nothing(
    broker: BrokerAddress, store: CollectionStore, url: str, scripted: ScriptedController, agent: AgentProcess
) -> None:
    """Worker, agent and controller killed in turn under load, the latter also between commit and acknowledgement."""
    await scripted.want(pipelines=(keeping(scripted),))
    await listening(scripted)

    async def kill() -> None:
        for _ in range(2):
            async with collecting(url, broker, "1") as dying, asyncio.timeout(PATIENCE_S):
                assert await dying.wait() == -signal.SIGKILL
        for _ in range(2):
            before = store.view("seen").rows
            workers(agent)[0].kill()
            async with collecting(url, broker):
                await until(lambda before=before: store.view("seen").rows > before, timeout_s=PATIENCE_S)  # type: ignore[misc]
            await until(lambda: len(workers(agent)) == 1)
        agent.kill()
        agent.start()
        await until(lambda: len(workers(agent)) == 1)

    async with connect(broker, "device") as device, asyncio.TaskGroup() as tasks:
        killing = tasks.create_task(kill())
        count = 0
        while not killing.done():
            await send(device, range(count, count + 10))
            await asyncio.wait([killing], timeout=0.05)
            count += 10
        async with collecting(url, broker):
            await until(lambda: store.view("seen").rows >= count, timeout_s=PATIENCE_S)
    assert numbers(store) == Counter(range(count))


@pytest.mark.usefixtures("agent")
async def test_a_broker_that_dies_with_batches_loses_none(
    mosquitto: Mosquitto, store: CollectionStore, url: str, scripted: ScriptedController
) -> None:
    """It forgets everything, subscriptions too: the batch is sent again, and its rows are there once."""
    await scripted.want(pipelines=(keeping(scripted),))
    await listening(scripted)
    async with connect(mosquitto.address, "device") as device:
        await send(device, range(500))
        acks = await device.subscribe(ROWS.filter())
        async with asyncio.timeout(PATIENCE_S):
            await anext(aiter(acks))  # a batch is on its way, and nobody takes it
    mosquitto.kill()
    mosquitto.start()
    async with collecting(url, mosquitto.address):
        await until(lambda: store.view("seen").rows >= 500, timeout_s=PATIENCE_S)
    assert numbers(store) == Counter(range(500))


async def test_state_lasts_as_long_as_the_pipeline_and_its_rows(
    broker: BrokerAddress, store: CollectionStore, url: str, scripted: ScriptedController, agent: AgentProcess
) -> None:
    """One folder over versions and restarts; a pipeline that is gone is drained first; its successor has another."""
    await scripted.want(pipelines=(keeping(scripted),))
    await listening(scripted)
    async with connect(broker, "device") as device:
        await send(device, range(10))
        await until(lambda: len(kept_files(agent)) == 1)
        first = kept_files(agent)
        assert await agent.terminate() == 0
        agent.start()
        await scripted.want(pipelines=(keeping(scripted, 2, columns={"n": "n"}),))
        await scripted.report(lambda report: [status.version for status in report.pipelines] == [2])
        await until(lambda: len(workers(agent)) == 1)
        assert kept_files(agent) == first
        await scripted.want()
        await until((first[0].parents[1] / ".left").exists, timeout_s=PATIENCE_S)
        assert workers(agent) == []
        agent.kill()
        agent.start()
        await scripted.want(pipelines=(keeping(scripted, 3),))
        await listening(scripted)
        await send(device, range(10, 20))
        await until(lambda: len(kept_files(agent)) == 2)
        async with collecting(url, broker):
            await scripted.be_born()
            await until(lambda: store.view("seen").rows >= 20, timeout_s=PATIENCE_S)
            await until(lambda: first[0] not in kept_files(agent))
        assert not first[0].parents[1].exists()
        assert len(kept_files(agent)) == 1
    assert numbers(store) == Counter(range(20))


async def test_rows_wait_for_a_collection_that_is_not_there(
    broker: BrokerAddress, store: CollectionStore, url: str, scripted: ScriptedController, agent: AgentProcess
) -> None:
    """The controller says so, and takes them once it is declared; rows of another collection do not wait for that."""
    other = keeping(scripted, collection="later")
    spec = PipelineSpec.model_validate_json(scripted.blobs.path(other.spec.digest).read_bytes())
    spec = spec.model_copy(update={"name": "other"})
    written = scripted.blobs.put_bytes(spec.model_dump_json().encode())
    other = other.model_copy(update={"name": "other", "spec": written})
    await scripted.want(pipelines=(keeping(scripted), other))
    await scripted.report(lambda report: {status.state for status in report.pipelines} == {PipelineState.LISTENING})
    async with collecting(url, broker), connect(broker, "device") as device:
        await send(device, range(5))
        await until(lambda: store.view("seen").rows == 5, timeout_s=PATIENCE_S)
        await until(lambda: "there is no collection later" in agent.log.read_text())
        store.declare(SEEN.model_copy(update={"name": "later"}))
        await scripted.be_born()
        await until(lambda: store.view("later").rows == 5, timeout_s=PATIENCE_S)
    assert numbers(store, "later") == numbers(store) == Counter(range(5))


async def test_a_data_folder_of_yesterday_loses_no_row_of_today(
    broker: BrokerAddress, store: CollectionStore, url: str, scripted: ScriptedController, agent: AgentProcess
) -> None:
    """An edge that was set back to an older copy gives numbers a second time: its rows are not taken for the old."""
    copy = agent.data_dir.with_name("copy")
    await scripted.want(pipelines=(keeping(scripted),))
    await listening(scripted)
    async with connect(broker, "device") as device:
        await until(lambda: len(kept_files(agent)) == 1)
        assert await agent.terminate() == 0
        shutil.copytree(agent.data_dir, copy)
        agent.start()
        async with collecting(url, broker):
            await send(device, range(10))
            await until(lambda: store.view("seen").rows == 10, timeout_s=PATIENCE_S)
            assert await agent.terminate() == 0
            shutil.rmtree(agent.data_dir)
            copy.rename(agent.data_dir)
            agent.start()
            await send(device, range(10, 12))
            await until(lambda: numbers(store).keys() == set(range(12)), timeout_s=PATIENCE_S)


def batch(spool: UUID, first: int, *rows: object, collection: str = "seen") -> bytes:
    """A batch as an edge sends it."""
    return RowsHead(collection=collection, spool=spool, first=first).with_rows([orjson.dumps(row) for row in rows])


async def test_a_batch_that_comes_again_adds_what_is_new(broker: BrokerAddress, any_database_url: str) -> None:
    """In whole, in part, of another spool, of another edge: each number of each spool counts once."""
    spool = uuid4()
    with closing(CollectionStore(any_database_url)) as store:
        store.declare(SEEN)
        async with connect(broker, "controller") as link, connect(broker, "edge") as edge:
            collected = CollectedRows(link, store)
            acks = aiter(await edge.subscribe(ROW_ACKS.to(edge="e1")))

            async def take(payload: bytes) -> RowsAck:
                await collected.take("e1", payload)
                async with asyncio.timeout(PATIENCE_S):
                    return RowsAck.model_validate_json((await anext(acks)).payload)

            first = batch(spool, 1, {"n": 1}, {"n": "bad"}, {"n": 3})
            assert [(await take(first)).upto for _ in range(2)] == [3, 3]
            assert (await take(batch(spool, 3, {"n": 3}, {"n": 4}))).upto == 4
            assert (await take(first)).upto == 4
            refused = await take(batch(spool, 5, {"n": 5}, collection="nowhere"))
            assert (refused.upto, refused.refused) == (4, "there is no collection nowhere")
            assert (await take(batch(spool, 5, {"n": 5}))).upto == 5
            assert (await take(batch(uuid4(), 1, {"n": 100}))).upto == 1
            await collected.take("e2", batch(spool, 1, {"n": 200}))
        assert numbers(store) == Counter([1, 3, 4, 5, 100, 200])
        assert (store.view("seen").rows, store.view("seen").rejects) == (6, 1)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        batch(uuid4(), 1),
        batch(uuid4(), 1, {"n": 1}).replace(b'"first":1', b'"first":0'),
        batch(uuid4(), 1, {"n": 1}).replace(b'{"n":1}', b"1e999"),
        batch(uuid4(), 1, {"n": 1}).replace(b"seen", b"se en"),
    ],
)
async def test_what_is_no_batch_is_refused(broker: BrokerAddress, store: CollectionStore, payload: bytes) -> None:
    """The controller goes on."""
    async with connect(broker, "controller") as link:
        with pytest.raises(BadInput):
            await CollectedRows(link, store).take("e1", payload)
    assert store.view("seen").rows == 0
