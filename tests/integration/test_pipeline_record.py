"""Messages of a real broker recorded into a file."""

import asyncio
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas.broker import BrokerAddress
from tests.conftest import free_port
from tests.integration.command import PROGRAM, tidemill
from tidemill.replay.recording import Recorded, read_recording
from transport.mqtt import connect


async def recording(home: Path, broker: BrokerAddress, *options: str) -> asyncio.subprocess.Process:
    """The command at work, once it listens."""
    process = await asyncio.create_subprocess_exec(
        str(PROGRAM),
        *("pipeline", "record", "--to", "r.jsonl", "--broker", broker.url, *options),
        cwd=home,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    async with asyncio.timeout(30):
        assert b"recording " in await process.stderr.readline()
    return process


def read(home: Path) -> list[Recorded]:
    """The recording's messages; it is whole."""
    told: list[str] = []
    messages = list(read_recording(home / "r.jsonl", told.append))
    assert told == []
    return messages


async def test_messages_are_recorded_until_there_are_enough(broker: BrokerAddress, tmp_path: Path) -> None:
    """Of all the topics, in the order in which they came, each with its bytes, QoS and time."""
    began = datetime.now(UTC)
    async with connect(broker, "device") as device:
        await device.publish("b/kept", b"before", retain=True)
        process = await recording(tmp_path, broker, "--topic", "a/+", "--topic", "b/#", "--count", "5")
        await device.publish("a/1", b'{"n": 1}')
        await device.publish("a/1/deeper", b"not asked for")
        await device.publish("b/c/d", b"\xff\x00", qos=0)
        await device.publish("a/2", b"")
        await device.publish("a/3", "ü".encode())
        async with asyncio.timeout(30):
            assert await process.wait() == 0
    messages = read(tmp_path)
    assert [(one.topic, one.message, one.qos, one.retain) for one in messages] == [
        ("b/kept", b"before", 1, True),
        ("a/1", b'{"n": 1}', 1, False),
        ("b/c/d", b"\xff\x00", 0, False),
        ("a/2", b"", 1, False),
        ("a/3", "ü".encode(), 1, False),
    ]
    times = [one.at for one in messages]
    assert began < times[0]
    assert times == sorted(times)


async def test_a_signal_ends_a_recording_well(broker: BrokerAddress, tmp_path: Path) -> None:
    """What came before it is in the file."""
    async with connect(broker, "device") as device:
        process = await recording(tmp_path, broker, "--topic", "a")
        await asyncio.gather(*(device.publish("a", str(number).encode()) for number in range(100)))
        async with asyncio.timeout(30):
            while not (tmp_path / "r.jsonl").read_bytes().count(b"\n"):  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.02)
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(30):
            assert await process.wait() == 0
    numbers = [int(one.message) for one in read(tmp_path)]
    assert numbers == list(range(len(numbers)))
    assert numbers


async def test_a_recording_ends_after_its_time(broker: BrokerAddress, tmp_path: Path) -> None:
    """Also when nothing came."""
    process = await recording(tmp_path, broker, "--topic", "a", "--for", "50ms")
    async with asyncio.timeout(30):
        assert await process.wait() == 0
    assert read(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "says", "status"),
    [
        (("--topic", "a/#", "--topic", "a/+"), "overlaps", 2),
        (("--topic", "a/#/b"), "is no MQTT topic filter", 2),
        (("--topic", "a", "--to", "there.jsonl"), "is there already", 4),
        (("--topic", "a", "--broker", "http://x"), "is no broker URL", 2),
    ],
)
def test_what_cannot_be_recorded_is_said(
    broker: BrokerAddress, tmp_path: Path, options: tuple[str, ...], says: str, status: int
) -> None:
    """With an exit status, and without a stack trace."""
    (tmp_path / "there.jsonl").write_text("precious")
    chosen = ("--to", "r.jsonl", "--broker", broker.url, *options)
    ended = tidemill("pipeline", "record", *chosen, home=tmp_path)
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.returncode == status


def test_a_broker_that_is_away_is_named(tmp_path: Path) -> None:
    """It is not waited for."""
    url = f"mqtt://127.0.0.1:{free_port()}"
    ended = tidemill("pipeline", "record", "--topic", "a", "--to", "r.jsonl", "--broker", url, home=tmp_path)
    assert "cannot be reached" in ended.stderr
    assert not (tmp_path / "r.jsonl").exists()
