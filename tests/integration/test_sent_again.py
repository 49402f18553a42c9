"""Messages of QoS 1 that an event loop's link writes past paho, and a broker that acknowledges when it is told to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import IntEnum

from schemas.broker import BrokerAddress
from schemas.errors import BadPayload
from tests.conftest import free_port
from tests.hostile_broker import Published, listening, read_packet
from transport.link import Link
from transport.mqtt import connect
from transport.outbox import MOST_BREAKS
from transport.publish_packets import write_puback, write_publish
from transport.subscription import Message

PATIENCE_S = 20.0
IN_FLIGHT = 20


class Kind(IntEnum):
    """Of packets."""

    CONNECT = 1
    PUBLISH = 3
    PUBACK = 4
    SUBSCRIBE = 8
    UNSUBSCRIBE = 10
    PINGREQ = 12


class Reluctant:
    """A broker for one client: it notes what is published, and acknowledges nothing of itself."""

    def __init__(self) -> None:
        self.address = BrokerAddress(url=f"mqtt://127.0.0.1:{free_port()}")
        self.seen: list[list[Published]] = []  # by connection
        self.kinds: list[int] = []  # of packets on the last connection
        self.acknowledged: list[int] = []  # by the client
        self._change = asyncio.Condition()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Reluctant"]:
        """Listen for the length of the block."""
        async with listening(self.address.port, self._serve, self.cut):
            yield self

    def cut(self) -> None:
        """Break the connection off."""
        self._writer.transport.abort()

    def say(self, packet: bytes) -> None:
        """Tell the client."""
        self._writer.write(packet)

    async def until(self, connections: int, messages: int, acknowledged: int = 0) -> list[Published]:
        """What was published on the last connection, once there are so many."""

        def there() -> bool:
            on_last = len(self.seen) == connections and len(self.seen[-1]) >= messages
            return on_last and len(self.acknowledged) >= acknowledged

        async with asyncio.timeout(PATIENCE_S), self._change:
            await self._change.wait_for(there)
        return self.seen[-1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer, self.kinds = writer, []
        self.seen.append([])
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                first, body = await read_packet(reader)
                async with self._change:
                    self._hear(first, body)
                    self._change.notify_all()

    def _hear(self, first: int, body: bytes) -> None:
        kind = first >> 4
        self.kinds.append(kind)
        match kind:
            case Kind.CONNECT:
                self.say(b"\x20\x02\x00\x00")
            case Kind.PUBLISH:
                self.seen[-1].append(Published.parse(first & 0x0F, body))
            case Kind.PUBACK:
                self.acknowledged.append(int.from_bytes(body, "big"))
            case Kind.SUBSCRIBE:
                self.say(b"\x90\x03" + body[:2] + b"\x01")
            case Kind.UNSUBSCRIBE:
                self.say(b"\xb0\x02" + body[:2])
            case Kind.PINGREQ:
                self.say(b"\xd0\x00")


@asynccontextmanager
async def linked(broker: Reluctant) -> AsyncIterator[Link]:
    """A link that listens to ``in``."""

    def take(message: Message) -> None:
        message.ack()

    async with connect(broker.address, "x", in_loop=True) as link:
        await link.listen("in", take, lambda _: None)
        yield link


def ids(messages: list[Published]) -> list[int]:
    """The packet ids."""
    return [int.from_bytes(message.packet_id, "big") for message in messages]


async def test_what_is_not_acknowledged_is_sent_again_in_its_order() -> None:
    """Marked as sent before, behind the subscriptions and before what is new; what is acknowledged never is."""
    async with Reluctant().running() as broker, linked(broker) as link:
        sending = [asyncio.create_task(link.publish("out", b"%d" % number)) for number in range(IN_FLIGHT + 5)]
        first = list(await broker.until(connections=1, messages=IN_FLIGHT))
        assert [(one.flags, one.payload) for one in first] == [(2, b"%d" % number) for number in range(IN_FLIGHT)]
        assert len(set(ids(first))) == IN_FLIGHT
        for packet_id in ids(first)[:3]:
            broker.say(write_puback(packet_id))
        await asyncio.wait_for(asyncio.gather(*sending[:3]), PATIENCE_S)
        await broker.until(connections=1, messages=IN_FLIGHT + 3)  # three more have got their places
        unacknowledged = broker.seen[-1][3:]
        broker.cut()

        again = await broker.until(connections=2, messages=IN_FLIGHT)
        assert [(one.packet_id, one.payload) for one in again] == [
            (one.packet_id, one.payload) for one in unacknowledged
        ]
        assert {one.flags for one in again} == {2 | 8}
        assert broker.kinds.index(Kind.SUBSCRIBE) < broker.kinds.index(Kind.PUBLISH)
        for packet_id in ids(again):
            broker.say(write_puback(packet_id))
        last = (await broker.until(connections=2, messages=IN_FLIGHT + 2))[IN_FLIGHT:]
        assert [(one.flags, one.payload) for one in last] == [(2, b"23"), (2, b"24")]
        for packet_id in ids(last):
            broker.say(write_puback(packet_id))
        await asyncio.wait_for(asyncio.gather(*sending), PATIENCE_S)

        broker.cut()
        await broker.until(connections=3, messages=0)
        sending = [asyncio.create_task(link.publish("out", b"new"))]
        new = await broker.until(connections=3, messages=1)
        assert [(one.flags, one.payload) for one in new] == [(2, b"new")]
        broker.say(write_puback(ids(new)[0]))
        await asyncio.wait_for(sending[0], PATIENCE_S)


async def test_an_acknowledgement_may_come_in_pieces() -> None:
    """Cut anywhere: paho reads it then, and it counts all the same."""
    async with Reluctant().running() as broker, linked(broker) as link:
        for cut in range(1, 4):
            sending = asyncio.create_task(link.publish("out", b"x"))
            (packet_id,) = ids(await broker.until(connections=1, messages=cut))[-1:]
            ours = write_publish("in", b"", retain=False, packet_id=cut)
            assert ours is not None
            broker.say(ours + write_puback(packet_id)[:cut])
            await broker.until(connections=1, messages=cut, acknowledged=cut)  # it has read that piece
            assert not sending.done()
            broker.say(write_puback(packet_id)[cut:])
            await asyncio.wait_for(sending, PATIENCE_S)


async def test_acknowledgements_of_what_nobody_sent_do_no_harm() -> None:
    """Nor such as come twice."""
    async with Reluctant().running() as broker, linked(broker) as link:
        for count in (1, 2):
            sending = asyncio.create_task(link.publish("out", b"x"))
            (packet_id,) = ids(await broker.until(connections=1, messages=count))[-1:]
            broker.say((write_puback(60_000) + write_puback(packet_id)) * 2)
            await asyncio.wait_for(sending, PATIENCE_S)
        assert len(broker.seen) == 1


class Picky(Reluctant):
    """A broker that acknowledges messages, but breaks the connection off at certain ones."""

    def _hear(self, first: int, body: bytes) -> None:
        super()._hear(first, body)
        if first >> 4 != Kind.PUBLISH:
            return
        message = self.seen[-1][-1]
        if message.payload.startswith(b"bad"):
            self.cut()
        else:
            self.say(write_puback(*ids([message])))


async def test_a_message_at_which_the_broker_breaks_the_connection_is_given_up() -> None:
    """Each of them after ten connections, with a reason; those behind them arrive."""
    payloads = [b"1", b"bad", b"2", b"3", b"bad too", b"4"]
    async with Picky().running() as broker, linked(broker) as link:
        sending = [link.publish("out", payload) for payload in payloads]
        told = await asyncio.wait_for(asyncio.gather(*sending, return_exceptions=True), 3 * PATIENCE_S)
        assert [type(one) for one in told] == [type(None), BadPayload, type(None), type(None), BadPayload, type(None)]
        assert "out: the broker closed the connection each of the 10 times that it was sent this" in str(told[1])
        seen = [[message.payload for message in connection] for connection in broker.seen]
        assert sum(b"bad" in connection for connection in seen) == MOST_BREAKS
        await link.publish("out", b"5")
