"""Pipelines of several workers, and workers that take too much memory, with real processes and brokers."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from edge_agent.serving.ready import ReadyPipeline
from schemas.broker import BrokerAddress
from schemas.report import PipelineState
from tests.conftest import Nats
from tests.integration.pipeline_desk import IN, Written, desk, device, library, scoring

WHO = "import os\n\ndef exec(value):\n    return [value, os.getpid()]\n"
NODES: tuple[Written, ...] = (
    IN,
    {"id": "who", "type": "library", "library": "pipelib_who", "inputs": ["in"]},
    {"id": "out", "type": "mqtt_pub", "topic": "t/out", "inputs": ["who"]},
)


def telling(folder: Path, replicas: int) -> ReadyPipeline:
    """A pipeline whose workers say who they are."""
    return scoring(folder, 1, nodes=NODES, libraries=library(folder, "pipelib_who", WHO), replicas=replicas)


async def test_replicas_share_the_messages(broker: BrokerAddress, tmp_path: Path) -> None:
    """Each message is answered by one of them, also while one is added to the others; all of them do their part."""
    async with desk(broker) as table, device(broker) as person:
        table.supervisor.apply({"p": telling(tmp_path, 1)})
        await table.serving()
        for replicas, asked in ((1, 40), (3, 200), (1, 40)):
            table.supervisor.apply({"p": telling(tmp_path, replicas)})
            numbers = [f"{replicas}/{number}/{asked}" for number in range(asked)]
            asking = asyncio.create_task(person.ask(*(f'"{number}"'.encode() for number in numbers)))
            status = await table.until(lambda status: status.state is PipelineState.LISTENING)
            await asking
            answers = [await person.next() for _ in numbers]
            assert set(numbers) <= {answer[0] for answer in answers}
        assert status.name == "p"
        await table.until(lambda status: status.received >= 280)


async def test_settled_replicas_answer_each_message_once(broker: BrokerAddress, tmp_path: Path) -> None:
    """Two workers answer 200 messages, each of them once, and both have some."""
    async with desk(broker) as table, device(broker) as person:
        table.supervisor.apply({"p": telling(tmp_path, 2)})
        await table.serving()
        await person.ask(*(str(number).encode() for number in range(200)))
        answers = [await person.next() for _ in range(200)]
        assert sorted(answer[0] for answer in answers) == list(range(200))
        assert len(Counter(answer[1] for answer in answers)) == 2
        status = await table.until(lambda status: status.answered == 200)
        assert (status.failed, status.restarts) == (0, 0)


async def test_a_broker_that_cannot_share_is_named(tmp_path: Path) -> None:
    """On a broker of MQTT 3.1.1 alone replicas are refused, with what to do."""
    nats = Nats(tmp_path)
    nats.start()
    try:
        async with desk(nats.address) as table:
            table.supervisor.apply({"p": telling(tmp_path, 2)})
            status = await table.until(lambda status: status.state is PipelineState.FAILED)
            assert "replicas need a broker with the shared subscriptions of MQTT 5, such as Mosquitto" in status.reason
    finally:
        nats.kill()


@pytest.mark.parametrize("child", [False, True])
async def test_a_worker_that_takes_too_much_memory_is_started_anew(
    broker: BrokerAddress, tmp_path: Path, child: bool
) -> None:
    """The reason says how much it took and how much it may; what its children take counts too."""
    grow = "held.append(bytearray(300_000_000))"
    run = "subprocess.Popen([sys.executable, '-c', 'x = bytearray(300_000_000); import time; time.sleep(60)'])"
    source = f"import subprocess, sys\nheld = []\n\ndef exec(value):\n    {run if child else grow}\n    return value\n"
    nodes = (NODES[0] | {"qos": 0}, NODES[1], NODES[2])
    ready = scoring(tmp_path, 1, nodes=nodes, libraries=library(tmp_path, "pipelib_who", source), memory_mb=250)
    async with desk(broker) as table, device(broker) as person:
        table.supervisor.apply({"p": ready})
        await table.serving()
        await person.ask(b"1")
        status = await table.until(lambda status: status.restarts == 1)
        assert "MB of memory, and may take 250 (memory_mb)" in status.reason
        await table.serving()
