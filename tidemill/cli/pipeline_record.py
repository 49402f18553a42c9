"""Writes the messages of some topics into a file as they come."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from os import getpid
from pathlib import Path

from schemas.broker import BrokerAddress
from schemas.errors import BadInput, Unreachable
from tidemill.cli.output import amount, say
from tidemill.cli.pipeline_options import broker_address
from tidemill.replay.recording import Recorded, RecordingWriter
from transport.mqtt import Link, Subscription, connect

CONNECT_S, LOOK_S = 10.0, 0.1
SYNC_EVERY_S = 1.0
QUEUE_MESSAGES = 100_000  # of QoS 0 that may wait for the disk


@dataclass(frozen=True, slots=True)
class Limits:
    """When a recording ends by itself."""

    time_s: float | None = None
    count: int | None = None


async def record(broker: str, topics: list[str], to: Path, limits: Limits) -> None:
    """Record until a limit is reached, or SIGINT or SIGTERM comes; what happens is told on stderr.

    Raises:
        BadInput: a topic filter is malformed, or takes what another one takes; or the file cannot be written.
        Conflict: the file is there already.
        Unreachable: there is no broker.
        Unauthorized: it refuses the credentials, or a topic.
    """
    address = broker_address(broker)
    async with connect(address, f"tidemill-record-{getpid()}", wait=False) as link:
        await _ready(link, address)
        subscriptions = [await link.subscribe(one, auto_ack=False, queue_size=QUEUE_MESSAGES) for one in topics]
        with RecordingWriter(to) as writer:
            say(f"recording {', '.join(topics)} into {to}; Ctrl-C ends it")
            await _Recorder(writer, limits).run(subscriptions)
        await link.flush()  # the broker has seen what was acknowledged
    say(f"{writer.count} messages, {amount(writer.size_bytes)} in {to}")


async def _ready(link: Link, address: BrokerAddress) -> None:
    """Return when the broker is there; one that is away is said at once, and not waited for."""
    for _ in range(round(CONNECT_S / LOOK_S)):
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                return await link.ready()
        if link.trouble:
            raise link.trouble
    raise Unreachable(f"the broker at {address.host}:{address.port} does not answer")


class _Recorder:
    """Writes down what comes until it has enough."""

    def __init__(self, writer: RecordingWriter, limits: Limits) -> None:
        self._writer, self._limits = writer, limits
        self._enough = asyncio.Event()

    async def run(self, subscriptions: list[Subscription]) -> None:
        with _signals(self._enough):
            async with asyncio.TaskGroup() as tasks:
                helpers = [tasks.create_task(self._take(one), name=f"record {one.filter}") for one in subscriptions]
                helpers.append(tasks.create_task(self._sync_now_and_then(), name="sync"))
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._limits.time_s):
                        await self._enough.wait()
                for helper in helpers:
                    helper.cancel()
        await self._sync()

    async def _take(self, subscription: Subscription) -> None:
        async for message in subscription:
            if self._enough.is_set():
                return
            at = datetime.now(UTC)
            self._writer.write(Recorded.of(message.topic, message.payload, at, qos=message.qos, retain=message.retain))
            message.ack()
            if self._writer.count == self._limits.count:
                self._enough.set()

    async def _sync_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(SYNC_EVERY_S)
            await self._sync()

    async def _sync(self) -> None:
        try:
            await asyncio.to_thread(self._writer.sync)
        except OSError as error:
            raise BadInput(f"the recording cannot go on: {error.strerror}") from error


@contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    """SIGINT and SIGTERM set the event."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
