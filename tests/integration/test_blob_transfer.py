"""Blobs over a real broker: whole, once, and resumed after any break."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from edge_agent.blob_cache import BlobCache
from edge_agent.fetching import Fetcher
from schemas.blobs import CHUNK_BYTES, BlobAsk
from schemas.broker import BrokerAddress
from schemas.errors import NotFound, TooLarge, Unreachable, Untrusted
from schemas.names import BlobRef
from schemas.topics import BLOB_ASK, BLOB_CHUNK
from tests.conftest import PrivateBroker
from transport.blob_store import BlobDirectory
from transport.mqtt import Link, Subscription, connect
from transport.transfer import BlobReceiver, BlobSender
from transport.window import WINDOW_BYTES

EDGE = "oven-1"
PATIENCE_S = 60.0
SEVERAL_MB = 50_000_000


@dataclass
class Site:
    """A controller and an edge with a directory and a link each; what is asked for is noted."""

    controller: BlobDirectory
    edge: BlobDirectory
    controller_link: Link
    edge_link: Link
    asks: list[BlobAsk] = field(default_factory=list)
    _all_noted: asyncio.Event = field(default_factory=asyncio.Event)

    async def note(self, asks: Subscription) -> None:
        """Note every ask; an empty message says that those before it are noted."""
        async for message in asks:
            if message.payload:
                self.asks.append(BlobAsk.model_validate_json(message.payload))
            else:
                self._all_noted.set()

    async def until_heard(self) -> None:
        """Return when both ends answer: an ask that came before would be repeated after a while."""
        nothing = BlobRef(digest=f"sha256:{'0' * 64}", size_bytes=1)
        with TemporaryDirectory() as folder:
            nowhere = BlobDirectory(Path(folder))
            edge = BlobReceiver(self.edge_link, nowhere, me="edge")
            for receiver in (edge, BlobReceiver(self.controller_link, nowhere, me="controller")):
                with suppress(NotFound):
                    await receiver.fetch(EDGE, nothing)
        await self.asked_bytes()
        self.asks.clear()

    async def asked_bytes(self) -> int:
        """The length of all asks so far."""
        self._all_noted.clear()
        await self.edge_link.publish(BLOB_ASK.to(edge=EDGE), b"")
        await self._all_noted.wait()
        return sum(ask.length for ask in self.asks)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[BlobDirectory, BlobDirectory]:
    """A controller's and an edge's directory of blobs."""
    return BlobDirectory(tmp_path / "controller"), BlobDirectory(tmp_path / "edge")


@asynccontextmanager
async def running(*work: BlobSender) -> AsyncIterator[None]:
    """Senders that serve for the length of the block."""
    tasks = [asyncio.create_task(sender.serve()) for sender in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@asynccontextmanager
async def site(broker: BrokerAddress, folders: tuple[BlobDirectory, BlobDirectory]) -> AsyncIterator[Site]:
    """Both ends serving, and a third connection that notes every ask."""
    async with (
        connect(broker, "controller") as controller_link,
        connect(broker, "edge") as edge_link,
        connect(broker, "observer") as observer,
    ):
        here = Site(*folders, controller_link, edge_link)
        noting = asyncio.create_task(here.note(await observer.subscribe(BLOB_ASK.filter(edge=EDGE))))
        senders = BlobSender(controller_link, here.controller), BlobSender(edge_link, here.edge, edge=EDGE)
        try:
            async with running(*senders):
                await here.until_heard()
                yield here
        finally:
            noting.cancel()
            with suppress(asyncio.CancelledError):
                await noting


def random_blob(store: BlobDirectory, size_bytes: int = SEVERAL_MB) -> BlobRef:
    """A blob that no compression could shorten."""
    return store.put_bytes(os.urandom(size_bytes))


class HalfWay:
    """A progress listener with an event for when half of the bytes are here."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.held_bytes = 0

    def __call__(self, held_bytes: int, size_bytes: int) -> None:
        """Note how far it is."""
        self.held_bytes = held_bytes
        if held_bytes >= size_bytes // 2:
            self.reached.set()


@pytest.mark.parametrize("size_bytes", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, SEVERAL_MB])
async def test_the_controller_gives_an_edge_a_blob(
    broker: BrokerAddress, folders: tuple[BlobDirectory, BlobDirectory], size_bytes: int
) -> None:
    """A blob of any size reaches the edge whole, and every byte is asked for once (defect 9)."""
    async with site(broker, folders) as here, asyncio.timeout(PATIENCE_S):
        ref = random_blob(here.controller, size_bytes)
        path = await BlobReceiver(here.edge_link, here.edge, me="edge").fetch(EDGE, ref)
        assert path.read_bytes() == here.controller.path(ref.digest).read_bytes()
        assert await here.asked_bytes() == size_bytes


async def test_the_work_grows_no_faster_than_the_blob(
    broker: BrokerAddress, folders: tuple[BlobDirectory, BlobDirectory]
) -> None:
    """Each byte is read and written a bounded number of times, however many were there before it (defect 9)."""
    async with site(broker, folders) as here, asyncio.timeout(PATIENCE_S):
        ref = random_blob(here.controller)
        before = psutil.Process().io_counters()
        await BlobReceiver(here.edge_link, here.edge, me="edge").fetch(EDGE, ref)
        after = psutil.Process().io_counters()
        assert ref.size_bytes <= after.write_chars - before.write_chars < 2 * ref.size_bytes
        assert ref.size_bytes <= after.read_chars - before.read_chars < 4 * ref.size_bytes


async def test_the_controller_pulls_a_blob_from_an_edge(
    any_broker: PrivateBroker, folders: tuple[BlobDirectory, BlobDirectory]
) -> None:
    """The same way leads back: what an edge made reaches the controller."""
    async with site(any_broker.address, folders) as here, asyncio.timeout(PATIENCE_S):
        ref = random_blob(here.edge)
        path = await BlobReceiver(here.controller_link, here.controller, me="controller").fetch(EDGE, ref)
        assert path.read_bytes() == here.edge.path(ref.digest).read_bytes()


async def test_a_blob_that_is_here_is_not_asked_for(
    broker: BrokerAddress, folders: tuple[BlobDirectory, BlobDirectory]
) -> None:
    """Fetching what the directory holds already moves nothing."""
    async with site(broker, folders) as here, asyncio.timeout(PATIENCE_S):
        ref = random_blob(here.edge, 1000)
        await BlobReceiver(here.edge_link, here.edge, me="edge").fetch(EDGE, ref)
        assert await here.asked_bytes() == 0


async def test_many_who_want_a_blob_share_one_pull(
    broker: BrokerAddress, folders: tuple[BlobDirectory, BlobDirectory]
) -> None:
    """Concurrent fetches of one blob move its bytes once, and one that is cancelled does not stop the others."""
    async with site(broker, folders) as here, asyncio.timeout(PATIENCE_S):
        ref, half_way = random_blob(here.controller), HalfWay()
        receiver = BlobReceiver(here.edge_link, here.edge, me="edge")
        impatient = asyncio.create_task(receiver.fetch(EDGE, ref, progress=half_way))
        others = [asyncio.create_task(receiver.fetch(EDGE, ref)) for _ in range(3)]
        await half_way.reached.wait()
        impatient.cancel()
        paths = await asyncio.gather(*others)
        assert set(paths) == {here.edge.path(ref.digest)}
        assert await here.asked_bytes() == ref.size_bytes


async def test_several_blobs_come_at_once(broker: BrokerAddress, folders: tuple[BlobDirectory, BlobDirectory]) -> None:
    """Both directions and several blobs share two connections."""
    async with site(broker, folders) as here, asyncio.timeout(PATIENCE_S):
        down = [random_blob(here.controller, 3_000_000 + n) for n in range(4)]
        up = [random_blob(here.edge, 3_000_000 + n) for n in range(4)]
        edge = BlobReceiver(here.edge_link, here.edge, me="edge")
        controller = BlobReceiver(here.controller_link, here.controller, me="controller")
        await asyncio.gather(*(edge.fetch(EDGE, ref) for ref in down), *(controller.fetch(EDGE, ref) for ref in up))
        assert set(here.edge.digests()) == set(here.controller.digests())


async def test_a_pull_goes_on_after_the_broker_was_killed(
    any_broker: PrivateBroker, folders: tuple[BlobDirectory, BlobDirectory]
) -> None:
    """With the broker killed half-way and started again, at most a window for each end's cut is asked for twice."""
    async with site(any_broker.address, folders) as here, asyncio.timeout(PATIENCE_S):
        ref, half_way = random_blob(here.controller), HalfWay()
        receiver = BlobReceiver(here.edge_link, here.edge, me="edge")
        fetching = asyncio.create_task(receiver.fetch(EDGE, ref, progress=half_way))
        await half_way.reached.wait()
        any_broker.kill()
        await here.edge_link.lost()
        any_broker.start()
        path = await fetching
        assert path.read_bytes() == here.controller.path(ref.digest).read_bytes()
        assert await here.asked_bytes() <= ref.size_bytes + 2 * WINDOW_BYTES


async def test_a_receiver_that_was_restarted_goes_on_where_it_was(
    broker: BrokerAddress, folders: tuple[BlobDirectory, BlobDirectory]
) -> None:
    """A fetch given up half-way leaves a part, and the next one asks for the rest alone."""
    async with site(broker, folders) as here, asyncio.timeout(PATIENCE_S):
        ref, half_way = random_blob(here.controller), HalfWay()
        fetching = asyncio.create_task(
            BlobReceiver(here.edge_link, here.edge, me="edge").fetch(EDGE, ref, progress=half_way)
        )
        await half_way.reached.wait()
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
        assert list(here.edge.parts()) == [ref.digest]
        await BlobReceiver(here.edge_link, here.edge, me="edge").fetch(EDGE, ref)
        assert await here.asked_bytes() <= ref.size_bytes + 2 * WINDOW_BYTES  # one had come, but was not written yet
        assert not list(here.edge.parts())


async def test_a_damaged_part_is_thrown_away_and_pulled_anew(
    broker: BrokerAddress, folders: tuple[BlobDirectory, BlobDirectory]
) -> None:
    """A part whose bytes went bad costs one more transfer, and never becomes a blob."""
    async with site(broker, folders) as here, asyncio.timeout(PATIENCE_S):
        ref = random_blob(here.controller, 1_000_000)
        with here.edge.part(ref.digest) as part:
            part.write(bytes(500_000))
        path = await BlobReceiver(here.edge_link, here.edge, me="edge").fetch(EDGE, ref)
        assert path.read_bytes() == here.controller.path(ref.digest).read_bytes()
        assert await here.asked_bytes() == 500_000 + 1_000_000


async def test_wrong_bytes_are_refused(broker: BrokerAddress, folders: tuple[BlobDirectory, BlobDirectory]) -> None:
    """What does not hash to its name is refused and leaves nothing; so is a blob of another size (defect 9)."""
    async with site(broker, folders) as here, asyncio.timeout(PATIENCE_S):
        ref = random_blob(here.controller, 1_000_000)
        path = here.controller.path(ref.digest)
        path.unlink()
        path.write_bytes(bytes(1_000_000))
        receiver = BlobReceiver(here.edge_link, here.edge, me="edge")
        with pytest.raises(Untrusted, match=r"1000000 bytes of sha256:.* were expected; these are"):
            await receiver.fetch(EDGE, ref)
        path.write_bytes(bytes(999_999))
        with pytest.raises(Untrusted, match=f"the controller says that {ref.digest} has 999999 bytes, not 1000000"):
            await receiver.fetch(EDGE, ref)
        assert not here.edge.has(ref.digest)


async def test_a_blob_that_its_holder_lacks_is_not_found(
    broker: BrokerAddress, folders: tuple[BlobDirectory, BlobDirectory]
) -> None:
    """Asking for what the other side does not hold fails at once, with its name."""
    async with site(broker, folders) as here, asyncio.timeout(PATIENCE_S):
        ref = BlobRef(digest="sha256:" + "0" * 64, size_bytes=5)
        with pytest.raises(NotFound, match=f"the edge {EDGE} does not hold {ref.digest}"):
            await BlobReceiver(here.controller_link, here.controller, me="controller").fetch(EDGE, ref)


async def test_a_blob_that_does_not_fit_is_refused_before_it_is_asked_for(
    broker: BrokerAddress, folders: tuple[BlobDirectory, BlobDirectory]
) -> None:
    """Disk space is looked at first."""
    async with site(broker, folders) as here, asyncio.timeout(PATIENCE_S):
        ref = BlobRef(digest="sha256:" + "0" * 64, size_bytes=2**60)
        with pytest.raises(TooLarge, match="bytes more on a disk with"):
            await BlobReceiver(here.edge_link, here.edge, me="edge").fetch(EDGE, ref)
        assert await here.asked_bytes() == 0


async def test_garbage_on_the_topics_stops_neither_end(
    broker: BrokerAddress, folders: tuple[BlobDirectory, BlobDirectory]
) -> None:
    """Asks and chunks that are none, or nobody asked for, are dropped."""
    async with site(broker, folders) as here, connect(broker, "mallory") as mallory, asyncio.timeout(PATIENCE_S):
        ref = random_blob(here.controller, 1_000_000)
        receiver = BlobReceiver(here.edge_link, here.edge, me="edge")

        async def disturb() -> None:
            for offset in ("0", "4000000000", "x", "-1"):
                topic = BLOB_CHUNK.to(edge=EDGE, digest=ref.digest, offset=offset)
                await mallory.publish(topic, b"short", qos=0)
                await mallory.publish(topic, bytes(CHUNK_BYTES + 9), qos=0)

        await mallory.publish(BLOB_ASK.to(edge="oven-2"), b"{" * 2000)
        _, path = await asyncio.gather(disturb(), receiver.fetch(EDGE, ref))
        assert path.read_bytes() == here.controller.path(ref.digest).read_bytes()


async def test_small_messages_pass_while_a_blob_is_on_its_way(
    broker: BrokerAddress, folders: tuple[BlobDirectory, BlobDirectory]
) -> None:
    """A message on another link goes out and comes back while a large transfer is not half done."""
    async with site(broker, folders) as here, connect(broker, "control") as control, asyncio.timeout(PATIENCE_S):
        ref, half_way = random_blob(here.controller), HalfWay()
        echoes = await control.subscribe("echo")
        receiver = BlobReceiver(here.edge_link, here.edge, me="edge")
        fetching = asyncio.create_task(receiver.fetch(EDGE, ref, progress=half_way))
        await control.publish("echo", b"small")
        await anext(echoes)
        assert not half_way.reached.is_set()
        await fetching


async def test_a_rate_is_kept(broker: BrokerAddress, folders: tuple[BlobDirectory, BlobDirectory]) -> None:
    """A sender that is told so many bytes a second takes the time that a blob needs at that rate."""
    controller, edge = folders
    async with connect(broker, "controller") as source, connect(broker, "edge") as target:
        ref = random_blob(controller, 1_000_000)
        loop = asyncio.get_running_loop()
        async with running(BlobSender(source, controller, rate_bytes_s=2_000_000)), asyncio.timeout(PATIENCE_S):
            started_s = loop.time()
            await BlobReceiver(target, edge, me="edge").fetch(EDGE, ref)
            assert loop.time() - started_s > 0.4


async def test_a_closed_link_ends_a_pull_and_keeps_its_part(
    broker: BrokerAddress, folders: tuple[BlobDirectory, BlobDirectory]
) -> None:
    """When the link is closed under it, a fetch says so at once instead of waiting for chunks."""
    controller, edge = folders
    async with connect(broker, "controller") as source, running(BlobSender(source, controller)):
        ref, half_way = random_blob(controller), HalfWay()
        async with connect(broker, "edge") as target:
            fetching = asyncio.create_task(BlobReceiver(target, edge, me="edge").fetch(EDGE, ref, progress=half_way))
            async with asyncio.timeout(PATIENCE_S):
                await half_way.reached.wait()
        with pytest.raises(Unreachable, match="was closed while sha256"):
            await fetching
    assert list(edge.parts()) == [ref.digest]


async def test_a_blob_that_was_asked_for_just_now_is_not_swept(
    broker: BrokerAddress, folders: tuple[BlobDirectory, BlobDirectory]
) -> None:
    """An old blob that a task was told is here stays here until the task has it, however full the cache is."""
    async with connect(broker, "edge") as link, asyncio.timeout(PATIENCE_S):
        _, blobs = folders
        asked, idle = random_blob(blobs, 10), random_blob(blobs, 10)
        for ref in (asked, idle):
            os.utime(blobs.path(ref.digest), (0, 0))
        await Fetcher(EDGE, blobs, BlobReceiver(link, blobs, me="edge")).fetch(asked, pytest.fail)
        assert BlobCache(blobs, lambda: (), cap_bytes=0).sweep(set()) == 10
        assert list(blobs.digests()) == [asked.digest]
