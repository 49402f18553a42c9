"""A Mosquitto of one's own with its dynamic security plugin, whose accounts the controller keeps."""

import asyncio
import json
import subprocess
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from itertools import permutations
from pathlib import Path

import pytest
from pydantic import SecretStr

from controller.brokers.dynamic_security import DynamicSecurity
from schemas import topics
from schemas.broker import BrokerAddress
from schemas.errors import Unauthorized, Unreachable
from schemas.topics import Topic
from tests.conftest import Mosquitto
from tests.integration.api import Api
from transport.mqtt import Link, Subscription, connect

PLUGIN = Path("/usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so")
ADMIN, PASSWORD = "tidemill", "an administrator's"
EDGES = ("press-1", "press-2", "press-3")
END = "plant/end"


@pytest.fixture(name="address")
def _address(tmp_path: Path) -> Iterator[BrokerAddress]:
    """Where such a broker is, with the account of its administrator."""
    plugins = [path for path in (PLUGIN, *Path("/usr/lib").glob("*/mosquitto_dynamic_security.so")) if path.exists()]
    if not plugins:
        pytest.skip("this Mosquitto has no dynamic security plugin")
    state = tmp_path / "dynamic-security.json"
    subprocess.run(["mosquitto_ctrl", "dynsec", "init", str(state), ADMIN, PASSWORD], check=True, capture_output=True)
    document = json.loads(state.read_text())  # as: mosquitto_ctrl dynsec addRoleACL admin publishClientSend '#' allow
    document["roles"][0]["acls"].append({"acltype": "publishClientSend", "topic": "#", "allow": True})
    state.write_text(json.dumps(document))
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    more = f"plugin {plugins[0]}\nplugin_opt_config_file {state}"
    broker = Mosquitto(folder, more)
    config = folder / "mosquitto.conf"
    config.write_text(config.read_text().replace("allow_anonymous true", "allow_anonymous false"))
    broker.start()
    yield BrokerAddress(url=broker.address.url, username=ADMIN, password=SecretStr(PASSWORD))
    broker.kill()


@pytest.fixture(name="admin")
async def _admin(address: BrokerAddress) -> AsyncIterator[Link]:
    """The controller's connection."""
    async with connect(address, "controller") as link:
        yield link


def _as(address: BrokerAddress, name: str, password: str) -> BrokerAddress:
    return address.model_copy(update={"username": name, "password": SecretStr(password)})


async def _hears(subscription: Subscription, topic: str) -> bool:
    """Whether something came on a topic before that which ends the round."""
    heard = False
    async with asyncio.timeout(10):
        async for message in subscription:
            if message.topic == END:
                return heard
            heard = heard or message.topic == topic
    return heard


async def test_no_edge_reaches_anothers_topics(address: BrokerAddress, admin: Link) -> None:
    """Each edge, each other's topics of every family: it may neither write nor read there; its own it may."""
    accounts = DynamicSecurity(admin)
    await accounts.allow([END])
    families = [topic for topic in vars(topics).values() if isinstance(topic, Topic) and "{edge}" in topic.pattern]
    everything = await admin.subscribe("#")
    async with AsyncExitStack() as stack:
        links: dict[str, Link] = {}
        for name in EDGES:
            there = _as(address, name, await accounts.add(name))
            links[name] = await stack.enter_async_context(connect(there, name))
            with pytest.raises(Unauthorized):
                await links[name].subscribe("#")
            await links[name].subscribe(f"{topics.ROOT}/edges/{name}/#")
            await links[name].subscribe(END)
        for edge, other in permutations(EDGES, 2):
            with pytest.raises(Unauthorized):
                await links[edge].subscribe(f"{topics.ROOT}/edges/{other}/#")
            for family in families:
                topic = family.filter(edge=other).replace("+", "0")
                await links[edge].publish(topic, b"not mine")
                await links[edge].publish(END, b"")
                assert not await _hears(everything, topic), f"{edge} writes {topic}"
                await links[other].publish(topic, b"mine")
                await links[other].publish(END, b"")
                assert await _hears(everything, topic), f"{other} writes {topic}"


async def test_an_account_that_is_removed_is_thrown_out(address: BrokerAddress, admin: Link) -> None:
    """It cannot connect again; with a new password it can, and with the one before it cannot."""
    accounts = DynamicSecurity(admin)
    first = await accounts.add("press-1")
    async with connect(_as(address, "press-1", first), "press-1") as link:
        assert await accounts.remove("press-1")
        assert not await accounts.remove("press-1")
        with pytest.raises((Unauthorized, Unreachable)):
            await link.publish(topics.REPORT.to(edge="press-1"), b"still here", timeout_s=2)
    second = await accounts.add("press-1")
    third = await accounts.add("press-1")
    async with asyncio.timeout(10), connect(_as(address, "press-1", third), "press-1"):
        pass
    for void in (first, second):
        with pytest.raises(Unauthorized):
            async with asyncio.timeout(10), connect(_as(address, "press-1", void), "press-1"):
                pass


async def test_a_broker_without_the_plugin_is_said_to_be_one(
    broker: BrokerAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody answers, and the operator is told what to look at."""
    monkeypatch.setattr("controller.brokers.dynamic_security.ANSWER_S", 0.5)
    async with connect(broker, "controller") as link:
        with pytest.raises(Unreachable, match="is the dynamic security plugin loaded"):
            await DynamicSecurity(link).add("press-1")


async def test_a_controller_keeps_such_accounts(address: BrokerAddress, tmp_path: Path) -> None:
    """Enrolling an edge makes its account, and revoking it removes that."""
    home = tmp_path / "home"
    home.mkdir()
    settings = (
        'broker_accounts = "dynamic_security"\n'
        f'[broker]\nurl = "{address.url}"\nusername = "{ADMIN}"\npassword = "{PASSWORD}"\n'
    )
    with Api.running(home, settings) as api:
        enrolled = await asyncio.to_thread(api.http.post, "edges", json={"name": "press-2"})
        config = tomllib.loads(enrolled.json()["agent_config"])["broker"]
        there = _as(address, config["username"], config["password"])
        async with asyncio.timeout(10), connect(there, "press-2"):
            pass
        revoked = await asyncio.to_thread(api.http.post, "edges/press-2/revoke", json={"reason": "sold"})
        assert revoked.json()["revoked_at"] is not None
        with pytest.raises(Unauthorized):
            async with asyncio.timeout(10), connect(there, "press-2"):
                pass
