"""A hundred thousand payloads that nobody meant to send."""

import asyncio
import random

import msgpack
import orjson
import pytest

from tests.unit.engine_desk import Letter, Written, desk, until_acknowledged

ROUNDS, AT_ONCE = 50, 1_000  # of each format
NODES: list[Written] = [
    {"id": "in", "type": "mqtt_sub", "topic": "t/{line}/in", "order_by": "line"},
    {"id": "out", "type": "mqtt_pub", "topic": "out/{line}/{unit}", "inputs": ["in"]},
]
SEEDS = [
    b"{}", b"[]", b"null", b"NaN", b"-Infinity", b'"\\ud800"', b"1e400", b"18446744073709551616",
    b"[" * 2000, b'{"a":' * 500, b'{"unit": 7}', b'{"unit": "x"}', b'{"unit": "a/b"}',
    b'{"unit": null, "unit": 1}', b'{"unit": {"deep": [1, 2]}}', b"\x00" * 50, b"\xff\xfe", "ünï€".encode(),
    b"9" * 5000, b"\x81\xa4unit\x07", b"\xdf\xff\xff\xff\xff", b"\xc1",
]  # fmt: skip


def payload(chance: random.Random) -> bytes:
    """A seed, whole, cut, joined to another, or with some of its bytes changed."""
    made = bytearray(chance.choice(SEEDS))
    match chance.randrange(4):
        case 0:
            made = made[: chance.randrange(len(made) + 1)]
        case 1:
            made += chance.choice(SEEDS)
        case 2:
            for _ in range(chance.randrange(1, 8)):
                made.insert(chance.randrange(len(made) + 1), chance.randrange(256))
    return bytes(made)


@pytest.mark.parametrize("form", ["json", "msgpack"])
async def test_no_payload_stops_a_pipeline(form: str) -> None:
    """Each of 10⁵ is answered or becomes a dead letter, and the next good message is answered as if nothing had been.

    (defect 33)
    """
    chance = random.Random(33)
    good = orjson.dumps({"unit": 7}) if form == "json" else msgpack.packb({"unit": 7})
    root = NODES[0] | {"format": form}
    async with desk([root, NODES[1]]) as on:
        for _ in range(ROUNDS):
            letters: list[Letter] = [on.hand_in(payload(chance), "t/a/in") for _ in range(AT_ONCE)]
            await until_acknowledged([*letters, on.hand_in(good, "t/a/in")])
            await asyncio.sleep(0)
            assert [one.topic for one in on.published][-1] == "out/a/7"
            counters = on.engine.counters
            assert counters.received == counters.answered + counters.failed
            on.published.clear()
        assert counters.received == ROUNDS * (AT_ONCE + 1)
        assert min(counters.answered, counters.failed) > ROUNDS
