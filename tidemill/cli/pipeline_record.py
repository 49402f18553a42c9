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
from schemas.errors import BadInput, TidemillError, Unreachable
from tidemill.cli.output import amount, say
from tidemill.cli.pipeline_options import broker_address
from tidemill.replay.recording import Recorded, RecordingWriter
from transport.mqtt import Link, Message, connect

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
    recorder = _Recorder(limits)
    async with connect(address, f"tidemill-record-{getpid()}", wait=False) as link:
        await _ready(link, address)
        for topic in topics:
            await link.listen(topic, recorder.take, recorder.refused)
        with RecordingWriter(to) as writer:
            say(f"recording {', '.join(topics)} into {to}; Ctrl-C ends it")
            await recorder.run(writer)
        await link.flush()  # the broker has seen what was acknowledged
    say(f"{writer.count} messages, {amount(writer.size_bytes)} in {to}")
    if dropped := recorder.dropped + link.dropped:
        say(f"{dropped} messages of QoS 0 came faster than they could be written, and are not there")


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
    """Writes down what comes, in the order in which it came, until it has enough."""

    def __init__(self, limits: Limits) -> None:
        self.dropped = 0
        self._limits = limits
        self._came: asyncio.Queue[tuple[datetime, Message]] = asyncio.Queue()
        self._enough = asyncio.Event()
        self._refusal: TidemillError | None = None

    def take(self, message: Message) -> None:
        """A message came; of QoS 1 the broker sends no more than it may leave unacknowledged."""
        if message.qos == 0 and self._came.qsize() >= QUEUE_MESSAGES:
            self.dropped += 1
        else:
            self._came.put_nowait((datetime.now(UTC), message))

    def refused(self, error: TidemillError) -> None:
        """The broker takes a subscription back."""
        self._refusal = error
        self._enough.set()

    async def run(self, writer: RecordingWriter) -> None:
        """Return when there is enough. Raises BadInput when the disk does not take it, and what the broker said."""
        self._writer = writer
        with _signals(self._enough):
            async with asyncio.TaskGroup() as tasks:
                helpers = [
                    tasks.create_task(self._write(), name="write"),
                    tasks.create_task(self._sync_now_and_then(), name="sync"),
                ]
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._limits.time_s):
                        await self._enough.wait()
                for helper in helpers:
                    helper.cancel()
        await self._sync()
        if self._refusal is not None:
            raise self._refusal

    async def _write(self) -> None:
        while not self._enough.is_set():
            at, message = await self._came.get()
            recorded = Recorded.of(message.topic, message.payload, at, qos=message.qos, retain=message.retain)
            self._writer.write(recorded)
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
