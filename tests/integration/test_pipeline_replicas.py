"""Pipelines of several workers, and workers that take too much memory, with real processes and brokers."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from edge_agent.shelf.ready import ReadyPipeline
from schemas.broker import BrokerAddress
from schemas.report import PipelineState
from tests.conftest import Nats
from tests.integration.pipeline_desk import IN, Device, Written, desk, device, library, scoring

WHO = "import os\n\ndef exec(value):\n    return [value, os.getpid()]\n"
DYING = (
    "import os, pathlib\n\ndef exec(value):\n"
    "    flag = pathlib.Path('{flags}') / f'{{value}}.died'\n"
    "    if value in ('40', '41', '42') and not flag.exists():\n"
    "        flag.touch()\n        os.kill(os.getpid(), 9)\n"
    "    return [value, os.getpid()]\n"
)
"""Is killed once over each of three messages, one for each of three workers."""

NODES: tuple[Written, ...] = (
    IN,
    {"id": "who", "type": "library", "library": "pipelib_who", "inputs": ["in"]},
    {"id": "out", "type": "mqtt_pub", "topic": "t/out", "inputs": ["who"]},
)


def telling(folder: Path, replicas: int, source: str = WHO) -> ReadyPipeline:
    """A pipeline whose workers say who they are."""
    return scoring(folder, 1, nodes=NODES, libraries=library(folder, "pipelib_who", source), replicas=replicas)


async def told_apart(person: Device, numbers: Sequence[str]) -> Counter[int]:
    """How many of these each worker answered, once all are answered; some may be answered twice."""
    by_worker: Counter[int] = Counter()
    waiting = set(numbers)
    while waiting:
        number, worker = await person.next()
        waiting.discard(number)
        by_worker[worker] += 1
    return by_worker


async def test_replicas_come_and_go_without_losing_a_message(broker: BrokerAddress, tmp_path: Path) -> None:
    """Each message is answered while their number changes; those that go answer what the broker gave them."""
    async with desk(broker) as table, device(broker) as person:
        table.supervisor.apply({"p": telling(tmp_path, 1)})
        await table.serving()
        for replicas in (3, 1, 2, 3, 1):
            table.supervisor.apply({"p": telling(tmp_path, replicas)})
            numbers = [f"{replicas}/{number}" for number in range(200)]
            await person.ask(*(f'"{number}"'.encode() for number in numbers))
            workers = await told_apart(person, numbers)
            async with asyncio.timeout(60):
                while len(workers) < replicas:  # until all that came have begun
                    await person.ask(*(f'"{number}"'.encode() for number in numbers))
                    workers |= await told_apart(person, numbers)


@pytest.mark.parametrize("dying", [False, True])
async def test_a_replica_that_goes_answers_what_its_session_holds(
    broker: BrokerAddress, tmp_path: Path, dying: bool
) -> None:
    """Also when nobody was there while the number changed, and when a worker is killed over its last messages."""
    sessions, numbers = tmp_path / "sessions", [str(number) for number in range(90)]
    ready = partial(telling, tmp_path, source=DYING.format(flags=tmp_path) if dying else WHO)
    async with device(broker) as person:
        async with desk(broker, sessions) as table:
            table.supervisor.apply({"p": ready(3)})
            await table.serving()
        await person.ask(*(f'"{number}"'.encode() for number in numbers))  # each session gets its share
        async with desk(broker, sessions) as table:
            table.supervisor.apply({"p": ready(1)}, coming=())
            assert len(await told_apart(person, numbers)) >= 3
        assert len(list(tmp_path.glob("*.died"))) == (3 if dying else 0)


async def test_an_edge_that_has_the_pipeline_no_more_answers_its_share(broker: BrokerAddress, tmp_path: Path) -> None:
    """The other edges' replicas would never get what the broker has given to this edge's."""
    async with desk(broker) as table, device(broker) as person:
        table.supervisor.apply({"p": telling(tmp_path, 2)})
        await table.serving()
        numbers = [str(number) for number in range(500)]
        await person.ask(*(f'"{number}"'.encode() for number in numbers))
        table.supervisor.apply({})
        assert len(await told_apart(person, numbers)) == 2


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
