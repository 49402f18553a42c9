"""A broker that nobody should trust: it stands before a real one, and does what it likes with what goes to an edge."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.conftest import free_port

_PUBLISH = 3
_KEPT = 200  # messages that may be replayed


@dataclass(frozen=True)
class Published:
    """A PUBLISH packet of MQTT 3.1.1."""

    flags: int
    topic: str
    packet_id: bytes
    payload: bytes

    @classmethod
    def parse(cls, flags: int, body: bytes) -> "Published":
        """Of what follows the fixed header."""
        length = int.from_bytes(body[:2], "big")
        rest = 2 + length + (2 if flags & 0b110 else 0)
        return cls(flags, body[2 : 2 + length].decode(), body[2 + length : rest], body[rest:])

    def encode(self) -> bytes:
        """The packet."""
        topic = self.topic.encode()
        body = len(topic).to_bytes(2, "big") + topic + self.packet_id + self.payload
        return bytes([_PUBLISH << 4 | self.flags]) + _length(len(body)) + body


def invented(topic: str, payload: bytes) -> Published:
    """A message that nobody published."""
    return Published(0, topic, b"", payload)


Invent = Callable[[random.Random], Published]


@asynccontextmanager
async def listening(
    port: int, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], cut: Callable[[], None]
) -> AsyncIterator[None]:
    """Serve whoever connects for the length of the block, and break off what is left then."""
    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
        cut()
        await server.wait_closed()


@dataclass
class HostileBroker:
    """Passes on what clients say; alters, repeats, withholds, reorders and invents what they are told."""

    broker_port: int
    honest: bool = True
    invents: list[Invent] = field(default_factory=list)
    mischief: int = 0  # how often
    sent_bytes: int = 0  # to clients
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self._chance = random.Random(0)
        self._past: list[Published] = []
        self._held: list[bytes] = []
        self._writers: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def running(self) -> "AsyncIterator[HostileBroker]":
        """Listen for the length of the block."""
        async with listening(self.port, self._serve, self.cut):
            yield self

    def begin(self, seed: int) -> None:
        """Have what it does be decided by this."""
        self._chance = random.Random(seed)

    def cut(self) -> None:
        """Break off every connection."""
        for writer in list(self._writers):
            writer.transport.abort()

    def say(self, message: Published) -> None:
        """Tell every client something, whether or not it listens to that."""
        for writer in self._writers:
            writer.write(message.encode())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            above, below = await asyncio.open_connection("127.0.0.1", self.broker_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(writer)
        up = asyncio.create_task(_pass_on(reader, below))
        down = asyncio.create_task(self._tell(above, writer))
        try:
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._writers.discard(writer)
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
            for end in (writer, below):
                end.transport.abort()

    async def _tell(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                first, body = await read_packet(reader)
                packets = [bytes([first]) + _length(len(body)) + body]
                if first >> 4 == _PUBLISH:
                    published = Published.parse(first & 0x0F, body)
                    self._past = [*self._past[-_KEPT:], published]
                    packets = packets if self.honest else self._treat(published)
                for packet in packets:
                    self.sent_bytes += len(packet)
                    writer.write(packet)
                await writer.drain()

    def _treat(self, message: Published) -> list[bytes]:
        """What becomes of a message on its way."""
        whole = message.encode()
        kind = self._chance.choice(["pass", "pass", "alter", "repeat", "drop", "hold", "replay", "invent"])
        self.mischief += kind != "pass"
        match kind:
            case "alter" if message.payload:
                place = self._chance.randrange(len(message.payload))
                other = message.payload[place] ^ self._chance.randrange(1, 256)
                changed = message.payload[:place] + bytes([other]) + message.payload[place + 1 :]
                return [Published(message.flags, message.topic, message.packet_id, changed).encode()]
            case "repeat":
                return [whole, whole]
            case "drop" if not message.packet_id:
                return []
            case "hold":
                self._held.append(whole)
                if len(self._held) < 4:
                    return []
                held, self._held = self._held, []
                self._chance.shuffle(held)
                return held
            case "replay":
                past = self._chance.choice(self._past)
                return [whole, Published(0, past.topic, b"", past.payload).encode()]
            case "invent" if self.invents:
                return [self._chance.choice(self.invents)(self._chance).encode(), whole]
        return [whole]


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


async def read_packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The first byte and the body of a packet. Raises IncompleteReadError when the connection is over."""
    (first,) = await reader.readexactly(1)
    length, shift = 0, 0
    while True:
        (byte,) = await reader.readexactly(1)
        length |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return first, await reader.readexactly(length)


def _length(size: int) -> bytes:
    """The remaining length of a packet (MQTT 3.1.1 §2.2.3)."""
    found = bytearray()
    while True:
        size, digit = divmod(size, 128)
        found.append(digit | (0x80 if size else 0))
        if not size:
            return bytes(found)
