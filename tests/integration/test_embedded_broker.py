"""The embedded broker: who may use it for what, shown by what is delivered, since a broker grants any subscription."""

import asyncio
import stat
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import permutations
from pathlib import Path
from typing import Literal

import pytest
from pydantic import SecretStr

from controller.brokers.accounts import settled
from controller.brokers.edge_accounts import FileAccounts
from controller.brokers.embedded import EmbeddedBroker, embedded_broker
from schemas import topics
from schemas.broker import BrokerAddress
from schemas.errors import Unauthorized, Unreachable
from schemas.topics import CONTROLLER_PRESENCE, MANIFEST, REPORT, Topic
from tests.conftest import free_port
from transport.mqtt import Link, Subscription, connect

EDGES = ("press-1", "press-2", "press-3")
DATA = "plant/+/readings"
END = b"that was all"


class Party:
    """Everybody who is connected to one broker, each as the account of that name."""

    def __init__(self, broker: EmbeddedBroker, stack: AsyncExitStack) -> None:
        self.broker, self._stack = broker, stack
        self._heard: dict[str, Subscription] = {}
        self.links: dict[str, Link] = {}

    async def join(self, name: str, password: str) -> None:
        """Connect, and listen to everything that the broker lets this account hear."""
        url = self.broker.address.url
        address = BrokerAddress(url=url, username=name, password=SecretStr(password))
        self.links[name] = await self._stack.enter_async_context(connect(address, f"{name}-client"))
        self._heard[name] = await self.links[name].subscribe("#")

    def leave(self, name: str) -> None:
        """Who is not listened for any more."""
        del self._heard[name], self.links[name]

    async def hears(self, sender: str, topic: str) -> set[str]:
        """Who is delivered what ``sender`` publishes on ``topic``: known when all have heard what came after it."""
        await self.links[sender].publish(topic, sender.encode())
        await self.links["tidemill-controller"].publish(CONTROLLER_PRESENCE.pattern, END)
        found = set()
        for name, subscription in self._heard.items():
            async with asyncio.timeout(10):
                async for message in subscription:
                    if message.payload == END:
                        break
                    if message.topic == topic:
                        found.add(name)
        return found


@pytest.fixture
async def party(tmp_path: Path) -> AsyncIterator[Party]:
    """A Mosquitto of the controller's with two edges and a device, and one collection's topic."""
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(embedded_broker(tmp_path / "broker", "mosquitto", 0))
        assert broker.accounts is not None
        assert broker.address.password is not None
        guests = Party(broker, stack)
        await guests.join("tidemill-controller", broker.address.password.get_secret_value())
        accounts = FileAccounts(broker.accounts, guests.links["tidemill-controller"])
        passwords = {edge: await accounts.add(edge) for edge in EDGES}
        await accounts.allow([DATA])
        for edge, password in passwords.items():
            await guests.join(edge, password)
        await guests.join("device", broker.for_devices.password or "")
        yield guests


@pytest.mark.parametrize(
    ("sender", "topic", "hearers"),
    [
        ("tidemill-controller", MANIFEST.to(edge="press-1"), {"tidemill-controller", "press-1"}),
        ("press-1", REPORT.to(edge="press-1"), {"tidemill-controller", "press-1"}),
        ("press-1", REPORT.to(edge="press-2"), set()),
        ("press-1", MANIFEST.to(edge="press-2"), set()),
        ("press-1", CONTROLLER_PRESENCE.pattern, set()),
        ("press-1", "plant/a/readings", {"tidemill-controller", *EDGES, "device"}),
        ("press-1", "plant/a/secrets", set()),
        ("device", "plant/a/readings", {"tidemill-controller", *EDGES, "device"}),
        ("device", "plant/a/secrets", set()),
        ("device", REPORT.to(edge="press-1"), set()),
        ("device", MANIFEST.to(edge="press-1"), set()),
        ("device", CONTROLLER_PRESENCE.pattern, set()),
    ],
)
async def test_each_account_has_its_own_topics(party: Party, sender: str, topic: str, hearers: set[str]) -> None:
    """An edge writes and reads its own tree and the users' data, a device the users' data; nobody anything else."""
    assert await party.hears(sender, topic) == hearers


async def test_no_edge_reaches_anothers_topics(party: Party) -> None:
    """Each edge, each other's topics of every family: what it writes reaches nobody, and it reads nothing there."""
    families = [topic for topic in vars(topics).values() if isinstance(topic, Topic) and "{edge}" in topic.pattern]
    assert len(families) >= 13
    for edge, other in permutations(EDGES, 2):
        for family in families:
            topic = family.filter(edge=other).replace("+", "0")
            assert await party.hears(edge, topic) == set(), f"{edge} writes {topic}"
            assert await party.hears("tidemill-controller", topic) == {"tidemill-controller", other}, topic


async def test_who_is_enrolled_at_the_same_moment_may_connect(party: Party) -> None:
    """Accounts that are made at once are all made, and the broker knows each when its maker hears of it."""
    assert party.broker.accounts is not None
    accounts = FileAccounts(party.broker.accounts, party.links["tidemill-controller"])

    async def enrol(name: str) -> None:
        await party.join(name, await accounts.add(name))

    names = [f"oven-{number}" for number in range(12)]
    async with asyncio.timeout(30):
        await asyncio.gather(*map(enrol, names))
    assert await party.hears("oven-7", "plant/a/readings") >= {"tidemill-controller", *names}


async def test_who_is_removed_is_thrown_out(party: Party) -> None:
    """An account that is removed hears and says nothing any more, and cannot come back; others go on."""
    assert party.broker.accounts is not None
    gone = party.links["press-1"]
    assert await asyncio.to_thread(party.broker.accounts.remove, "press-1")
    assert not await asyncio.to_thread(party.broker.accounts.remove, "press-1")
    await settled(party.links["tidemill-controller"])
    with pytest.raises((Unauthorized, Unreachable)):
        await gone.publish(REPORT.to(edge="press-1"), b"still here", timeout_s=2)
    party.leave("press-1")
    assert await party.hears("press-2", "plant/a/readings") == {"tidemill-controller", *EDGES[1:], "device"}


async def test_an_edge_is_told_of_the_controller(party: Party) -> None:
    """What everybody needs to know, everybody hears: the controller's presence."""
    assert await party.hears("tidemill-controller", CONTROLLER_PRESENCE.pattern) == set(party.links)


async def test_secrets_are_the_owner_s_alone(tmp_path: Path) -> None:
    """Passwords and configuration can be read by nobody else, and edges' passwords are kept as hashes."""
    folder = tmp_path / "broker"
    async with embedded_broker(folder, "mosquitto", 0) as broker:
        assert broker.accounts is not None
        password = await asyncio.to_thread(broker.accounts.add, "press-1")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        for name in ("passwords", "acl", "broker.json", "mosquitto.conf"):
            assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600, name
        assert password not in "".join(path.read_text(errors="replace") for path in folder.glob("*"))


@pytest.mark.parametrize("kind", ["mosquitto", "nats"])
async def test_messages_pass_and_strangers_do_not(tmp_path: Path, kind: Literal["mosquitto", "nats"]) -> None:
    """Either broker takes what its accounts publish, and refuses a wrong password and none."""
    async with embedded_broker(tmp_path / "broker", kind, 0) as broker:
        assert broker.for_devices.kind == kind
        device = BrokerAddress(
            url=broker.for_devices.url,
            username=broker.for_devices.username,
            password=SecretStr(broker.for_devices.password or ""),
        )
        if broker.accounts is not None:
            await asyncio.to_thread(broker.accounts.allow, [DATA])
        async with connect(broker.address, "controller") as controller, connect(device, "press") as press:
            await settled(controller)
            heard = await controller.subscribe(DATA)
            await press.publish("plant/a/readings", b"1")
            async with asyncio.timeout(10):
                assert (await anext(aiter(heard))).payload == b"1"
        for changes in ({"password": SecretStr("wrong")}, {"username": None, "password": None}):
            stranger = device.model_copy(update=changes)
            with pytest.raises(Unauthorized):
                async with asyncio.timeout(10), connect(stranger, "stranger"):
                    pass


@pytest.mark.parametrize("kind", ["mosquitto", "nats"])
async def test_credentials_outlive_the_broker(tmp_path: Path, kind: Literal["mosquitto", "nats"]) -> None:
    """After a restart port and passwords are as before, so that enrolled edges find their way back."""
    async with embedded_broker(tmp_path / "broker", kind, 0) as first:
        password = first.accounts.add("press-1") if first.accounts else None
    async with embedded_broker(tmp_path / "broker", kind, 0) as second:
        assert (second.address, second.for_devices) == (first.address, first.for_devices)
        changes = {"username": "press-1", "password": SecretStr(password)} if password else {}
        async with asyncio.timeout(10), connect(second.address.model_copy(update=changes), "press-1"):
            pass


async def test_a_chosen_port_wins_over_the_kept_one(tmp_path: Path) -> None:
    """Who sets a port after the first start gets it."""
    unused = free_port()
    async with embedded_broker(tmp_path / "broker", "mosquitto", 0) as first:
        assert first.address.port != unused
    async with embedded_broker(tmp_path / "broker", "mosquitto", unused) as second:
        assert second.address.port == unused
        assert second.address.password == first.address.password
