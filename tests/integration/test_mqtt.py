"""The link to the broker, against a real one that is killed and started again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from schemas.broker import BrokerAddress
from schemas.errors import BadInput, TooLarge, Unreachable
from tests.conftest import Mosquitto, PrivateBroker, free_port
from transport import mqtt
from transport.mqtt import MAX_PAYLOAD_BYTES, Link, Message, Subscription, connect

PATIENCE_S = 15.0


@pytest.fixture(autouse=True, params=["thread", "loop"])
def _driven_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is true of a link is so whoever reads and writes: a thread, or the event loop itself."""
    monkeypatch.setitem(globals(), "connect", partial(mqtt.connect, in_loop=request.param == "loop"))


async def next_of(subscription: Subscription) -> Message:
    """The next message, within a bound."""
    async with asyncio.timeout(PATIENCE_S):
        return await anext(subscription)


async def until_up(link: Link) -> None:
    """Wait for a connection with all its subscriptions."""
    async with asyncio.timeout(PATIENCE_S):
        async for _ in link.connections():
            if link.connected:
                return


async def until_down(link: Link) -> None:
    """Wait until the link has noticed that its connection is lost."""
    async with asyncio.timeout(PATIENCE_S):
        await link.lost()


@asynccontextmanager
async def two_links(broker: BrokerAddress) -> AsyncIterator[tuple[Link, Link]]:
    """A publisher's and a subscriber's connection."""
    async with connect(broker, "publisher") as publisher, connect(broker, "subscriber") as subscriber:
        yield publisher, subscriber


async def test_a_message_arrives_as_it_was_published(any_broker: PrivateBroker) -> None:
    """Topic, payload and quality of service of a message are what its publisher gave."""
    async with two_links(any_broker.address) as (publisher, subscriber):
        subscription = await subscriber.subscribe("plant/+/t")
        await publisher.publish("plant/7/t", b"\x00\xff")
        message = await next_of(subscription)
    assert (message.topic, message.payload, message.qos, message.retain) == ("plant/7/t", b"\x00\xff", 1, False)


async def test_a_link_hears_itself_and_keeps_subscriptions_apart(broker: BrokerAddress) -> None:
    """Each message goes to the one subscription whose filter takes its topic."""
    async with connect(broker, "one") as link:
        left, right = await link.subscribe("left/#"), await link.subscribe("right", qos=0)
        for topic in ("right", "left/a", "left"):
            await link.publish(topic, topic.encode(), qos=0)
        assert [(await next_of(left)).topic for _ in range(2)] == ["left/a", "left"]
        assert (await next_of(right)).qos == 0


async def test_a_retained_message_is_told_apart(any_broker: PrivateBroker) -> None:
    """What was published before the subscription says that it was retained."""
    async with two_links(any_broker.address) as (publisher, subscriber):
        await publisher.publish("state", b"1", retain=True)
        assert (await next_of(await subscriber.subscribe("state"))).retain


async def test_overlapping_filters_are_refused(broker: BrokerAddress) -> None:
    """A second filter that could take the same topic is refused with the names of both; so is a malformed one."""
    async with connect(broker, "one") as link:
        await link.subscribe("a/+")
        with pytest.raises(BadInput, match=r"'a/#' overlaps with 'a/\+'"):
            await link.subscribe("a/#")
        with pytest.raises(BadInput, match="no MQTT topic filter"):
            await link.subscribe("a/#/b")


async def test_a_closed_subscription_delivers_no_more_and_can_be_made_again(broker: BrokerAddress) -> None:
    """Closing ends the iteration, and the same filter may be subscribed to afterwards."""
    async with connect(broker, "one") as link:
        first = await link.subscribe("a")
        await first.close()
        assert [message async for message in first] == []
        second = await link.subscribe("a")
        await link.publish("a", b"again")
        assert (await next_of(second)).payload == b"again"


async def test_too_large_messages_go_neither_out_nor_in(mosquitto: Mosquitto) -> None:
    """A payload above the cap is refused before it is sent, and dropped before anybody sees it."""
    async with two_links(mosquitto.address) as (publisher, subscriber):
        subscription = await subscriber.subscribe("a", auto_ack=False)
        with pytest.raises(TooLarge, match="1000001 bytes"):
            await publisher.publish("a", bytes(MAX_PAYLOAD_BYTES + 1))
        publisher._max_payload_bytes += 1
        await publisher.publish("a", bytes(MAX_PAYLOAD_BYTES + 1))
        await publisher.publish("a", b"small")
        assert (await next_of(subscription)).payload == b"small"
        assert (subscriber.too_large, subscription.dropped) == (1, 0)


async def test_many_publishers_share_twenty_places(any_broker: PrivateBroker) -> None:
    """Far more concurrent publishes than may be in flight all arrive, each once and in order."""
    async with two_links(any_broker.address) as (publisher, subscriber):
        subscription = await subscriber.subscribe("n", queue_size=2000)
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(publisher.publish("n", str(n).encode()) for n in range(1000)))
            assert [int((await anext(subscription)).payload) for _ in range(1000)] == list(range(1000))


async def test_the_link_comes_back_with_its_subscriptions(any_broker: PrivateBroker) -> None:
    """After the broker was killed and started again, ``connections`` yields anew and messages arrive."""
    async with connect(any_broker.address, "one") as link:
        subscription = await link.subscribe("a")
        connections = link.connections()
        first = await anext(connections)
        any_broker.kill()
        await until_down(link)
        assert isinstance(link.trouble, Unreachable)
        any_broker.start()
        async with asyncio.timeout(PATIENCE_S):
            assert await anext(connections) > first
        await link.publish("a", b"back")
        assert (await next_of(subscription)).payload == b"back"
        await connections.aclose()


async def test_a_publish_waits_for_the_connection_or_gives_up(mosquitto: Mosquitto) -> None:
    """While the broker is away a publish fails after its timeout, and a patient one arrives when it is back."""
    async with connect(mosquitto.address, "one") as link:
        subscription = await link.subscribe("a")
        mosquitto.kill()
        await until_down(link)
        with pytest.raises(Unreachable, match=r"a was not acknowledged within 0\.1 s: .*127\.0\.0\.1"):
            await link.publish("a", b"impatient", timeout_s=0.1)
        patient = asyncio.create_task(link.publish("a", b"patient"))
        mosquitto.start()
        assert (await next_of(subscription)).payload == b"patient"
        await patient


async def test_a_link_may_be_entered_before_the_broker_is_there(mosquitto: Mosquitto) -> None:
    """With ``wait=False`` the block is entered at once, and the link connects when it can."""
    mosquitto.kill()
    async with connect(mosquitto.address, "one", wait=False) as link:
        assert not link.connected
        mosquitto.start()
        await until_up(link)


async def test_waiting_for_the_broker_can_be_cancelled() -> None:
    """Entering waits for a broker that is not there until somebody gives up, and leaves nothing behind."""
    address = BrokerAddress(url=f"mqtt://127.0.0.1:{free_port()}")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3), connect(address, "one"):
            pytest.fail("there is no broker")


async def test_the_last_will_is_published_for_a_killed_link_only(broker: BrokerAddress) -> None:
    """Leaving the block keeps the will back; a client of the same name pushes the older one out and fires it."""
    async with connect(broker, "watcher") as watcher:
        wills = await watcher.subscribe("will/+")
        async with connect(broker, "polite", will=("will/polite", b"gone")):
            pass
        async with connect(broker, "rude", will=("will/rude", b"gone")), connect(broker, "rude"):
            assert (await next_of(wills)).topic == "will/rude"


async def test_unacknowledged_messages_come_again_to_a_persistent_session(any_broker: PrivateBroker) -> None:
    """The next link of that name gets what was not acknowledged, and only that, however late it subscribes."""
    async with connect(any_broker.address, "publisher") as publisher:
        async with connect(any_broker.address, "keeper", clean_session=False) as keeper:
            subscription = await keeper.subscribe("rows", auto_ack=False)
            for payload in (b"1", b"2", b"3"):
                await publisher.publish("rows", payload)
            first = await next_of(subscription)
            assert first.payload == b"1"
            first.ack()
            first.ack()  # again: of no effect
        async with connect(any_broker.address, "keeper", clean_session=False) as keeper:
            await publisher.publish("rows", b"4")
            await keeper.publish("else", b"a round trip, so that the held messages have come")
            subscription = await keeper.subscribe("rows", auto_ack=False)
            again = {(await next_of(subscription)).payload for _ in range(3)}
            assert again == {b"2", b"3", b"4"}


async def test_a_stale_filter_of_a_persistent_session_can_be_ended(any_broker: PrivateBroker) -> None:
    """After ``unsubscribe`` a filter that an earlier process had subscribed to brings nothing any more."""
    async with connect(any_broker.address, "keeper", clean_session=False) as keeper:
        await keeper.subscribe("old", auto_ack=False)
    async with connect(any_broker.address, "publisher") as publisher:
        for n in range(30):  # more than the broker's window
            await publisher.publish("old", str(n).encode())
        async with connect(any_broker.address, "keeper", clean_session=False) as keeper:
            await keeper.unsubscribe("old")
            subscription = await keeper.subscribe("new")
            await publisher.publish("old", b"nobody wants it")
            await publisher.publish("new", b"wanted")
            assert (await next_of(subscription)).payload == b"wanted"


async def test_a_message_waiting_in_the_queue_is_not_doubled_by_a_reconnection(any_broker: PrivateBroker) -> None:
    """A redelivered message takes the place of its waiting copy, and its acknowledgement counts."""
    async with (
        connect(any_broker.address, "publisher") as publisher,
        connect(any_broker.address, "keeper", clean_session=False) as keeper,
    ):
        subscription, marker = await keeper.subscribe("rows", auto_ack=False), await keeper.subscribe("marker")
        for topic, payload in (("rows", b"1"), ("rows", b"2"), ("marker", b"")):
            await publisher.publish(topic, payload)
        await next_of(marker)  # so the two rows are in their queue
        async with connect(any_broker.address, "keeper", clean_session=False):
            await until_down(keeper)
        await until_up(keeper)
        for expected in (b"1", b"2"):
            message = await next_of(subscription)
            assert message.payload == expected
            message.ack()
        await publisher.publish("rows", b"3")
        assert (await next_of(subscription)).payload == b"3"


async def test_the_oldest_unread_messages_are_dropped_and_counted(broker: BrokerAddress) -> None:
    """A full queue of QoS 0 messages keeps the newest."""
    async with connect(broker, "one") as link:
        subscription = await link.subscribe("a", qos=0, queue_size=3)
        marker = await link.subscribe("marker")
        for n in range(5):
            await link.publish("a", str(n).encode())
        await link.publish("marker", b"")
        await next_of(marker)
        assert [(await next_of(subscription)).payload for _ in range(3)] == [b"2", b"3", b"4"]
        assert subscription.dropped == 2


async def test_a_closed_link_ends_what_waits_on_it(broker: BrokerAddress) -> None:
    """Leaving the block ends iterations, fails publishes with Unreachable, and a late ack does nothing."""
    async with connect(broker, "one") as link:
        subscription = await link.subscribe("a", auto_ack=False)
        await link.publish("a", b"1")
        message = await next_of(subscription)
    message.ack()
    assert await subscription.batch() == []
    assert [number async for number in link.connections()] == []
    with pytest.raises(Unreachable, match="the connection was closed"):
        await link.publish("a", b"2")
