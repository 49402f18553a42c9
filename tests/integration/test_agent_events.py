"""Events reach a controller that loses some, forgets some or says nothing, in order and for as long as it takes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from edge_agent.events import FIRST_REPEAT_S, Outbox
from edge_agent.journal import Journal
from edge_agent.tasks.task_machine import Noted, advance
from schemas import topics
from schemas.broker import BrokerAddress
from schemas.manifest import WantedRun
from schemas.names import BlobRef
from schemas.runs import RunAck, RunEvent
from tests.integration.agent_process import until
from transport.mqtt import Link, Subscription, connect

SPEC = BlobRef(digest=f"sha256:{'0' * 64}", size_bytes=1)


@pytest.fixture
async def desk(broker: BrokerAddress) -> AsyncIterator[Link]:
    """Where events arrive."""
    async with connect(broker, "controller") as link:
        yield link


@pytest.fixture
async def outbox(broker: BrokerAddress, tmp_path: Path) -> AsyncIterator[tuple[Outbox, Journal]]:
    """An outbox at work, and its journal."""
    with Journal.open(tmp_path / "journal.sqlite") as journal:
        async with connect(broker, "edge") as link:
            outbox = Outbox(link, journal, "press-1")
            acks = await link.subscribe(topics.RUN_ACKS.filter(edge="press-1"))
            work = [asyncio.create_task(outbox.serve()), asyncio.create_task(outbox.take_acknowledgements(acks))]
            yield outbox, journal
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)


async def heard(messages: Subscription, count: int, timeout_s: float) -> list[int]:
    """The sequence numbers of the next events."""
    async with asyncio.timeout(timeout_s):
        return [RunEvent.model_validate_json((await anext(messages)).payload).sequence for _ in range(count)]


async def test_events_are_repeated_until_they_are_acknowledged(desk: Link, outbox: tuple[Outbox, Journal]) -> None:
    """Without an acknowledgement all come again, even while news keep coming; after it, only what lies beyond it.

    (defect 11)
    """
    sender, journal = outbox
    events = await desk.subscribe(topics.RUN_EVENTS.filter())
    task = journal.accept(WantedRun(run_id=uuid4(), attempt=1, spec=SPEC))
    sender.wake()
    assert await heard(events, 1, 2) == [1]
    async with asyncio.timeout(FIRST_REPEAT_S + 2):
        while not (repeats := await events_within(events, 0.5)):
            sender.wake()
    assert repeats == [1]
    journal.save(*advance(task, Noted("fetching")))
    sender.wake()
    assert await heard(events, 1, 2) == [2]
    ack = RunAck(run_id=task.key.run_id, attempt=1, sequence=1)
    await desk.publish(topics.RUN_ACKS.to(edge="press-1", run=str(task.key.run_id)), ack.to_wire())
    await until(lambda: len(journal.unacknowledged()) == 1)
    sender.send_again()
    assert await heard(events, 1, 2) == [2]


async def test_sending_again_begins_with_the_first(desk: Link, outbox: tuple[Outbox, Journal]) -> None:
    """However often everything is to be sent again, nobody hears an event before the one in front of it."""
    sender, journal = outbox
    events = await desk.subscribe(topics.RUN_EVENTS.filter())
    task = journal.accept(WantedRun(run_id=uuid4(), attempt=1, spec=SPEC))
    for number in range(20):
        task = journal.save(*advance(task, Noted(str(number))))
    for _ in range(10):
        sender.send_again()
        await asyncio.sleep(0)
    sequences = await heard(events, 21, 5)
    sequences += await events_within(events, 1)
    highest = 0
    for sequence in sequences:
        assert sequence <= highest + 1
        highest = max(highest, sequence)
    assert highest == 21


async def events_within(messages: Subscription, seconds: float) -> list[int]:
    """The sequence numbers of what comes in this time."""
    sequences: list[int] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                sequences += await heard(messages, 1, seconds)
    return sequences
