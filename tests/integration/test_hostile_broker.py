"""A broker that alters, replays, reorders, withholds and invents: an edge does only what its controller signed."""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge_agent.journal import Journal
from schemas import topics
from schemas.blobs import BlobChunk
from schemas.broker import BrokerAddress
from schemas.manifest import Manifest
from schemas.names import BlobRef
from schemas.runs import Exited, Outcome, RunAck
from schemas.wire import ControllerPresence
from tests.conftest import Mosquitto
from tests.hostile_broker import HostileBroker, Published, invented
from tests.integration.agent_process import AgentProcess
from tests.integration.scripted_controller import EDGE, MODEL, ScriptedController, mark_run
from transport.blob_store import BlobDirectory
from transport.mqtt import connect
from transport.signing import SigningKey
from transport.transfer import BlobReceiver, BlobSender
from transport.window import WINDOW_BYTES

ROUNDS = 25  # of manifests


@pytest.fixture(name="hostile")
async def _hostile(mosquitto: Mosquitto) -> AsyncIterator[HostileBroker]:
    """A broker before the real one; honest until it is told otherwise."""
    async with HostileBroker(mosquitto.port).running() as broker:
        yield broker


def _address(hostile: HostileBroker) -> BrokerAddress:
    return BrokerAddress(url=f"mqtt://127.0.0.1:{hostile.port}")


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_an_edge_does_only_what_its_controller_signed(
    hostile: HostileBroker, scripted: ScriptedController, tmp_path: Path, seed: int
) -> None:
    """Through hundreds of lies: no forged task ever runs, no attempt runs twice, the agent lives and gets there."""
    hostile.begin(seed)
    folder, evil = tmp_path / "edge", tmp_path / "evil"
    folder.mkdir()
    thief = SigningKey.load_or_create(tmp_path / "thief.pem")
    forged_run = scripted.run(mark_run(evil) + MODEL)  # its bytes can be had: only the signature is wrong
    hostile.invents = _inventions(scripted, thief, Manifest(edge=EDGE, generation=10_000, runs=(forged_run,)))
    marks = [tmp_path / f"ran-{number}" for number in range(ROUNDS)]
    with AgentProcess.running(folder, _address(hostile), scripted.key.public_key, max_tasks="4") as agent:
        await scripted.report(lambda report: report.edge == EDGE)
        hostile.honest = False
        runs = []
        for mark in marks:
            runs.append(scripted.run(mark_run(mark) + MODEL))
            await scripted.want(*runs[-4:])
            for invent in hostile.invents:
                hostile.say(invent(random.Random(len(runs))))
            await scripted.be_born()  # to which the edge answers with a report: that much it has taken in
            seen = len(scripted.reports)
            await scripted.until(lambda seen=seen: len(scripted.reports) > seen)  # type: ignore[misc]
        assert hostile.mischief > 100
        hostile.honest = True
        hostile.cut()  # whatever it withheld: a new connection brings the documents anew
        await scripted.want(*runs[-4:])
        for run in runs[-4:]:
            assert (await scripted.event(run, Exited)).outcome is Outcome.OK
        assert agent.pid
    assert not evil.exists()
    assert all(mark.read_text() == "ran\n" for mark in marks if mark.exists())
    assert all(mark.exists() for mark in marks[-4:])
    with Journal.open(folder / "data" / "journal.sqlite") as journal:
        kept = journal.manifest()
    assert kept is not None
    assert kept.generation == scripted.generation


def _inventions(scripted: ScriptedController, thief: SigningKey, forged: Manifest) -> list:  # type: ignore[type-arg]
    """Messages of every family that an edge listens to, none of which is the controller's."""
    topic = topics.MANIFEST.to(edge=EDGE)
    stolen = thief.sign(forged)
    right = scripted.key.sign(Manifest(edge="press-2", generation=10_000, runs=forged.runs))
    grafted = stolen.model_copy(update={"key_id": scripted.key.key_id})
    ack = RunAck(run_id=forged.runs[0].run_id, attempt=1, sequence=99)
    digest = forged.runs[0].spec.digest
    chunk = topics.BLOB_CHUNK.to(edge=EDGE, digest=digest, offset="0")
    return [
        lambda _: invented(topic, stolen.model_dump_json().encode()),
        lambda _: invented(topic, grafted.model_dump_json().encode()),
        lambda _: invented(topic, right.model_dump_json().encode()),
        lambda _: invented(topic, forged.to_wire()),
        lambda chance: invented(topic, chance.randbytes(200)),
        lambda _: invented(topics.RUN_ACKS.to(edge=EDGE, run=str(ack.run_id)), ack.to_wire()),
        lambda chance: invented(chunk, BlobChunk(100, chance.randbytes(100)).to_wire()),
        lambda chance: invented(topics.ROW_ACKS.to(edge=EDGE), chance.randbytes(50)),
        lambda _: invented(
            topics.CONTROLLER_PRESENCE.to(), ControllerPresence(online=True, session_id="evil").to_wire()
        ),
        lambda chance: Published(0, "tidemill/v1/" + "x" * chance.randrange(1, 9), b"", b"\xff"),
    ]


async def test_a_transfer_that_is_cut_fifty_times_goes_on_where_it_was(
    hostile: HostileBroker, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """At random places: the file is whole in the end, and each cut costs a window of bytes at most."""
    chance, there, here = random.Random(50), BlobDirectory(tmp_path / "there"), BlobDirectory(tmp_path / "here")
    ref = there.put_bytes(os.urandom(24_000_000))
    progress = asyncio.Event()
    held = 0

    def note(held_bytes: int, _size_bytes: int) -> None:
        nonlocal held
        held = held_bytes
        progress.set()

    async with connect(mosquitto.address, "controller") as link, connect(_address(hostile), "edge") as edge:
        sending = asyncio.create_task(BlobSender(link, there).serve())
        fetching = asyncio.create_task(BlobReceiver(edge, here, me="edge").fetch(EDGE, ref, progress=note))
        cuts = 0
        async with asyncio.timeout(120):
            for place in sorted(chance.randrange(200_000, 23_000_000) for _ in range(50)):
                while held < place and not fetching.done():
                    progress.clear()
                    await asyncio.wait(
                        {fetching, asyncio.ensure_future(progress.wait())}, return_when="FIRST_COMPLETED"
                    )
                if not fetching.done():
                    hostile.cut()
                    cuts += 1
                    await edge.lost()
            path = await fetching
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    assert path.read_bytes() == there.path(ref.digest).read_bytes()
    assert cuts > 10  # several places may lie within one piece that came at once
    framing = 1.02
    assert hostile.sent_bytes <= (ref.size_bytes + cuts * WINDOW_BYTES) * framing


async def test_bytes_that_were_altered_or_cut_short_never_become_a_blob(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """A part that a transfer left, cut short or with a byte altered at 200 places: it is whole when it is there."""
    chance, there, here = random.Random(200), BlobDirectory(tmp_path / "there"), BlobDirectory(tmp_path / "here")
    content = chance.randbytes(60_000)
    ref = there.put_bytes(content)
    async with connect(mosquitto.address, "controller") as link, connect(mosquitto.address, "edge") as edge:
        sending = asyncio.create_task(BlobSender(link, there).serve())
        receiver = BlobReceiver(edge, here, me="edge")
        async with asyncio.timeout(120):
            for number in range(200):
                place = chance.randrange(len(content))
                _leave_a_part(here, ref, content, place, cut=number % 2 == 0)
                path = await receiver.fetch(EDGE, ref)
                assert path.read_bytes() == content
                here.delete(ref.digest)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


def _leave_a_part(here: BlobDirectory, ref: BlobRef, content: bytes, place: int, *, cut: bool) -> None:
    """What a broken transfer left on a disk that is not to be trusted: cut short there, or with a byte altered."""
    altered = content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]
    with here.part(ref.digest) as part:
        part.write(content[:place] if cut else altered[: place + 1])
