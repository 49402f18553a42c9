"""Messages that a pipeline could not answer: kept by the controller, looked at, sent again, dropped."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlmodel import Session

from controller.letter_intake import LetterIntake
from controller.stores import dead_letters
from controller.stores.database import Database, open_database
from controller.stores.dead_letters import digest_of, drop_letters, get_letter, keep_letters, list_letters, note_retry
from controller.stores.serving import add_pipeline
from controller.stores.serving_changes import delete_pipeline
from schemas.broker import BrokerAddress
from schemas.dead_letters import DeadLetter
from schemas.errors import BadInput, NotFound
from schemas.names import BlobRef
from schemas.pipeline_views import DeadLetterView
from schemas.pipelines import PipelineSpec
from tests.conftest import Mosquitto
from tests.integration.command import PROGRAM
from tests.integration.site import Site, controller
from tidemill.client import Client
from transport.mqtt import connect

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
BLOB = BlobRef(digest="sha256:" + "0" * 64, size_bytes=0)


def pipeline(name: str = "p", **more: object) -> PipelineSpec:
    """A pipeline that copies what comes."""
    nodes = [
        {"id": "in", "type": "mqtt_sub", "topic": f"{name}/in"},
        {"id": "out", "type": "mqtt_pub", "topic": f"{name}/out", "inputs": ["in"]},
    ]
    return PipelineSpec.model_validate({"name": name, "nodes": nodes, **more})


def letter(number: int, **changes: object) -> bytes:
    """A letter as a worker publishes it; the number tells it from others."""
    at = (NOW + timedelta(microseconds=number)).isoformat()
    written = {"payload": f"{{{number}", "encoding": "text", "truncated": False, "topic": "p/in", "node": "in"}
    return json.dumps(written | {"error": "no JSON", "at": at, "pipeline": "p", "version": 1} | changes).encode()


def keep(session: Session, *letters: bytes) -> None:
    """Keep letters as if they had come together."""
    keep_letters(session, letters={digest_of(one): DeadLetter.model_validate_json(one) for one in letters})


def listed(session: Session) -> list[DeadLetterView]:
    """All that are kept of the pipeline p."""
    return list_letters(session, pipeline="p", before=None, limit=10_000)


def test_letters_go_with_their_pipeline(database: Database) -> None:
    """Nobody could ask for the letters of a pipeline that is deleted, and those of others stay (defect 40)."""
    with database.transaction() as session:
        keep(session, letter(1), letter(2), letter(3, pipeline="q"))
        assert delete_pipeline(session, name="p", undeploy=False).dead_letters == 2
        assert listed(session) == []
        assert len(list_letters(session, pipeline="q", before=None, limit=10)) == 1


@pytest.fixture
def database(any_database_url: str, tmp_path: Path) -> Iterator[Database]:
    """A control database with two pipelines, on each of the systems that it may be on."""
    sqlite = any_database_url.startswith("sqlite")
    with closing(open_database(f"sqlite:///{tmp_path / 'control.db'}" if sqlite else any_database_url)) as opened:
        with opened.transaction() as session:
            for name in ("p", "q"):
                add_pipeline(session, spec=pipeline(name), blob=BLOB, now=NOW)
        yield opened


def test_a_letter_is_kept_once_and_whole(database: Database) -> None:
    """However often it is delivered; its payload is what came, byte for byte, and any text may be in it."""
    binary = letter(2, payload="AP8=", encoding="base64", error="a\x00b")
    for _ in range(2):
        with database.transaction() as session:
            keep(session, letter(1), binary, letter(3, pipeline="nobodys"))
    with database.transaction() as session:
        newest, oldest = listed(session)
        assert (newest.error, newest.size_bytes, oldest.at) == (
            "a\N{REPLACEMENT CHARACTER}b",
            2,
            NOW.replace(microsecond=1),
        )
        assert get_letter(session, pipeline="p", number=newest.id).payload == b"\x00\xff"
        assert list_letters(session, pipeline="p", before=newest.id, limit=9) == [oldest]
        with pytest.raises(NotFound):
            get_letter(session, pipeline="q", number=newest.id)


def test_the_oldest_are_forgotten(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each pipeline so many letters are kept, and so many bytes; a number never stands for another letter."""
    monkeypatch.setattr(dead_letters, "KEPT_BYTES", 10_000)
    with database.transaction() as session:
        keep(session, letter(0, pipeline="q"))
        keep(session, *(letter(number) for number in range(dead_letters.KEPT + 5)))
        kept = listed(session)
        assert (len(kept), kept[-1].at.microsecond) == (dead_letters.KEPT, 5)
        keep(session, letter(2000, payload="x" * 9_990))
        assert [one.size_bytes for one in listed(session)] == [9_990, 5, 5]
        last = listed(session)[0].id
        assert drop_letters(session, pipeline="p", numbers=[last]) == 1
        keep(session, letter(3000))
        assert listed(session)[0].id > last
        note_retry(session, pipeline="p", number=last + 1, now=NOW)
        assert [one.retried_at for one in listed(session)[:2]] == [NOW, None]
        drop_letters(session, pipeline="p", numbers=None)
        assert listed(session) == []
        assert len(list_letters(session, pipeline="q", before=None, limit=9)) == 1


@asynccontextmanager
async def taking(broker: BrokerAddress, database: Database) -> AsyncIterator[LetterIntake]:
    """An intake for the length of the block."""
    intake = LetterIntake(broker, database)
    task = asyncio.create_task(intake.serve())
    try:
        yield intake
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until_kept(database: Database, count: int) -> None:
    """Wait for so many letters, under a bound."""
    async with asyncio.timeout(30):
        while len(await database.read(listed)) < count:  # noqa: ASYNC110 - a commit is no event here
            await asyncio.sleep(0.02)


async def test_letters_are_taken_from_the_broker(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """Of pipelines that are declared later too, on the topic of each version, and those that came meanwhile."""
    with closing(open_database(f"sqlite:///{tmp_path}/control.db")) as database:

        async def declare(intake: LetterIntake, spec: PipelineSpec) -> None:
            await database.write(lambda session: add_pipeline(session, spec=spec, blob=BLOB, now=NOW))
            intake.refresh()
            async with asyncio.timeout(10):
                await intake.listening()

        async with connect(mosquitto.address, "worker") as worker:
            async with taking(mosquitto.address, database) as intake:
                await declare(intake, pipeline())
                await worker.publish("p/dead_letters", b"no letter")
                await worker.publish("p/dead_letters", letter(1))
                await declare(intake, pipeline(dead_letter_topic="errors"))
                await worker.publish("errors", letter(2))
                await worker.publish("p/dead_letters", letter(3))
                await worker.publish("p/dead_letters", letter(3))
                await until_kept(database, 3)
            await worker.publish("errors", letter(4))
        async with taking(mosquitto.address, database):
            await until_kept(database, 4)
        assert sorted(one.at.microsecond for one in await database.read(listed)) == [1, 2, 3, 4]


FLEET = """\
kind: Pipeline
name: p
nodes:
  - {id: in, type: mqtt_sub, topic: p/in}
  - {id: out, type: mqtt_pub, topic: p/out, inputs: [in]}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A controller that knows the pipeline."""
    home = tmp_path_factory.mktemp("letters")
    with controller(home) as running:
        assert running.apply(FLEET).returncode == 0
        yield running


@pytest.fixture
def of_device(site: Site) -> BrokerAddress:
    """The controller's broker, as a device reaches it."""
    told = site.ask("broker")
    return BrokerAddress(url=told["url"], username=told["username"], password=told["password"])


@contextmanager
def runner(site: Site, broker: BrokerAddress) -> "Iterator[subprocess.Popen[str]]":
    """The pipeline at work, once it listens."""
    user, password = broker.credentials or ("", "")
    url = broker.url.replace("mqtt://", f"mqtt://{user}:{password}@")
    command = [str(PROGRAM), "pipeline", "run", "fleet.yaml", "--broker", url]
    with subprocess.Popen(command, cwd=site.home, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert any("listening" in line for line in process.stderr)
            yield process
        finally:
            process.terminate()


def letters(site: Site) -> list[dict[str, object]]:
    """What the command lists."""
    found: list[dict[str, object]] = site.ask("pipeline", "dead-letters", "list", "p")
    return found


async def until_listed(site: Site, count: int) -> list[dict[str, object]]:
    """Wait until so many are listed, under a bound."""
    async with asyncio.timeout(30):
        while len(found := await asyncio.to_thread(letters, site)) < count:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.05)
    return found


async def test_a_message_is_mended_and_answered(site: Site, of_device: BrokerAddress) -> None:
    """What failed is listed with its reason; sent again as it is it fails again, and edited it is answered."""
    async with connect(of_device, "device") as device:
        answers = await device.subscribe("p/out")
        with runner(site, of_device):
            await device.publish("p/in", b'{"n": 1')
            (first,) = await until_listed(site, 1)
            assert (first["topic"], first["node"], first["size_bytes"]) == ("p/in", "in", 7)
            assert str(first["error"]).startswith("the payload is no JSON")
            shown = site.run("pipeline", "dead-letters", "show", "p", str(first["id"]), "--payload")
            assert shown.stdout == '{"n": 1'

            retried = await asyncio.to_thread(site.run, "pipeline", "dead-letters", "retry", "p", "--all")
            assert retried.stderr == f"{first['id']} is published again on p/in\n"
            again, before = await until_listed(site, 2)
            assert (again["retried_at"], before["id"]) == (None, first["id"])
            assert before["retried_at"] is not None

            editor = site.home / "editor"
            editor.write_text('#!/bin/sh\necho "$(cat "$1")}" > "$1"\n')
            editor.chmod(0o755)
            edit = ("pipeline", "dead-letters", "retry", "p", str(again["id"]), "--edit")
            assert (await asyncio.to_thread(site.run, *edit, EDITOR=str(editor))).returncode == 0
            async with asyncio.timeout(20):
                assert json.loads((await anext(answers)).payload) == {"n": 1}
        dropped = site.run("pipeline", "dead-letters", "drop", "p", str(again["id"]))
        assert dropped.returncode == 0, dropped.stderr
        assert [one["id"] for one in letters(site)] == [first["id"]]
        assert site.run("pipeline", "dead-letters", "drop", "p", "--all").returncode == 0
        assert letters(site) == []


async def test_what_cannot_be_sent_again_is_said(site: Site, of_device: BrokerAddress) -> None:
    """A payload that is not there whole, a topic that is the controller's own, and letters that are not there."""
    async with connect(of_device, "device") as device:
        await device.publish("p/dead_letters", letter(1, truncated=True))
        await device.publish("p/dead_letters", letter(2, topic="tidemill/v1/controller/presence"))
        await device.publish("p/dead_letters", letter(3, topic=""))
    begun, forged, cut = await until_listed(site, 3)

    number = str(cut["id"])
    with Client(site.url, site.token) as client:
        with pytest.raises(BadInput, match="holds only the first 2 bytes of its message"):
            client.retry_dead_letter("p", int(number))
        with pytest.raises(BadInput, match="are not for user data"):
            client.retry_dead_letter("p", int(str(forged["id"])))
        with pytest.raises(BadInput, match="no message brought it"):
            client.retry_dead_letter("p", int(str(begun["id"])))
        with pytest.raises(NotFound, match="has no dead letter 4711"):
            client.drop_dead_letter("p", 4711)
        with pytest.raises(NotFound, match="there is no pipeline 'q'"):
            client.dead_letters("q")
        assert client.retry_dead_letter("p", int(number), b"\xff").retried_at is not None
    for arguments, told in {
        ("retry", "p"): "give the ID of each, or --all",
        ("retry", "p", "--all", "--edit"): "give its ID alone",
        ("retry", "p", number, "--payload", "none"): "there is no file none",
    }.items():
        refused = site.run("pipeline", "dead-letters", *arguments)
        assert (refused.returncode != 0, told in refused.stderr) == (True, True), refused.stderr
