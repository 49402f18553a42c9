"""Messages through a pipeline on a real broker: answers, order, waiting, and what becomes of those that fail."""

import base64
from pathlib import Path

import orjson
import pytest

from schemas.broker import BrokerAddress
from schemas.report import PipelineState
from tests import onnx_graphs
from tests.integration.pipeline_desk import IN, LETTERS, Written, desk, device, library, question, scoring
from transport.mqtt import MAX_PAYLOAD_BYTES


async def test_a_message_is_answered_by_its_model(broker: BrokerAddress, tmp_path: Path) -> None:
    """JSON in, the model's first output out; one object is one row, a list is a batch."""
    async with desk(broker) as table, device(broker) as person:
        table.supervisor.apply({"p": scoring(tmp_path, 3)})
        await table.serving(3)
        await person.ask(question(7))
        assert await person.next() == [[21.0, 3.0]]
        await person.ask(orjson.dumps([{"n": 1, "one": 1}, {"one": 2, "n": 0, "more": None}]))
        assert await person.next() == [[3.0, 3.0], [0.0, 6.0]]
        status = await table.until(lambda status: status.answered == 2)
        assert (status.received, status.failed, status.version, status.models) == (2, 0, 1, {"m": 3})


async def test_a_library_joins_what_its_inputs_gave(broker: BrokerAddress, tmp_path: Path) -> None:
    """Several inputs come as a mapping by node; what a library changes in its input changes nothing elsewhere."""
    join = "def exec(given):\n    given['in']['n'] = 'changed'\n    return given\n"
    nodes: list[Written] = [
        *scoring(tmp_path, 2).spec.model_dump(mode="json")["nodes"][:2],
        {"id": "join", "type": "library", "library": "pipelib_join", "inputs": ["in", "predict"]},
        {"id": "out", "type": "mqtt_pub", "topic": "t/out", "inputs": ["join", "in"]},
    ]
    ready = scoring(tmp_path, 2, nodes=nodes, libraries=library(tmp_path, "pipelib_join", join))
    async with desk(broker) as table, device(broker) as person:
        table.supervisor.apply({"p": ready})
        await table.serving(2)
        await person.ask(question(4))
        assert await person.next() == {
            "join": {"in": {"n": "changed", "one": 1}, "predict": [[8.0, 2.0]]},
            "in": {"n": 4, "one": 1},
        }


@pytest.mark.parametrize(
    ("payload", "node", "error"),
    [
        (b"", "in", "empty"),
        (b"{oops", "in", "no JSON"),
        (b'{"n": NaN, "one": 1}', "in", "no JSON"),
        (b"[" * 10_000, "in", "no JSON"),
        (b"\xff\x00\xfe", "in", "no JSON"),
        (b'{"n": 1}', "predict", "feature 'one' is missing in row 0"),
        (b'{"n": "1", "one": 1}', "predict", "wants tensor(float)"),
        (b'{"n": [1, 2], "one": [3, 4]}', "predict", "feature 'n' is a list in row 0"),
        (b"17", "predict", "row 0 is a number"),
    ],
)
async def test_a_message_that_fails_becomes_a_dead_letter(
    broker: BrokerAddress, tmp_path: Path, payload: bytes, node: str, error: str
) -> None:
    """The letter holds the payload as it was, and says where and why; the next message is answered (defect 41)."""
    async with desk(broker) as table, device(broker) as person:
        table.supervisor.apply({"p": scoring(tmp_path, 1)})
        await table.serving()
        await person.ask(payload)
        letter = await person.next(LETTERS)
        await person.ask(question(5))
        assert await person.next() == [[5.0, 1.0]]
        status = await table.until(lambda status: status.failed == 1 and status.answered == 1)
    assert (letter["topic"], letter["node"], letter["pipeline"], letter["version"]) == ("t/in", node, "p", 1)
    assert error in letter["error"]
    sent = letter["payload"].encode() if letter["encoding"] == "text" else base64.b64decode(letter["payload"])
    assert sent == payload
    assert status.state is PipelineState.LISTENING
    assert node in status.reason


async def test_a_message_that_is_too_large_is_counted_and_told(broker: BrokerAddress, tmp_path: Path) -> None:
    """Nobody is answered who sends more than the limit: the pipeline's status says that there was one, and why."""
    async with desk(broker) as table, device(broker) as person:
        table.supervisor.apply({"p": scoring(tmp_path, 1)})
        await table.serving()
        person.link._max_payload_bytes += 1
        await person.ask(b" " * (MAX_PAYLOAD_BYTES + 1))
        await person.ask(question(5))
        assert await person.next() == [[5.0, 1.0]]
        status = await table.until(lambda status: status.dropped == 1 and status.answered == 1)
    assert (status.received, status.state) == (1, PipelineState.LISTENING)
    assert status.reason == "messages of more than 1,000,000 bytes dropped: 1"


async def test_what_a_library_raises_costs_one_message(broker: BrokerAddress, tmp_path: Path) -> None:
    """Errors, a library that wants to end the process, and results that are no JSON: each is a dead letter."""
    source = """
import asyncio, sys

async def exec(value):
    match value:
        case 0: return 1 / 0
        case 1: sys.exit(3)
        case 2: return {1, 2}
        case 3: await asyncio.sleep(60)
        case 4: raise asyncio.CancelledError
    return value
"""
    nodes: list[Written] = [
        IN,
        {"id": "x", "type": "library", "library": "pipelib_x", "timeout_s": 0.2, "inputs": ["in"]},
        {"id": "out", "type": "mqtt_pub", "topic": "t/out", "inputs": ["x"]},
    ]
    ready = scoring(tmp_path, 1, nodes=nodes, libraries=library(tmp_path, "pipelib_x", source))
    errors = []
    async with desk(broker) as table, device(broker) as person:
        table.supervisor.apply({"p": ready})
        await table.serving()
        for number in range(5):
            await person.ask(str(number).encode())
            errors.append((await person.next(LETTERS))["error"])
        await person.ask(b"5")
        assert await person.next() == 5
        assert (await table.serving()).restarts == 0
    assert "ZeroDivisionError: division by zero (line 6)" in errors[0]
    assert "SystemExit: 3" in errors[1]
    assert "cannot be written as JSON" in errors[2]
    assert "no answer within 0.2 s" in errors[3]
    assert "CancelledError" in errors[4]


async def test_answers_leave_in_the_order_of_their_messages(broker: BrokerAddress, tmp_path: Path) -> None:
    """Though earlier messages take longer than later ones, and run at the same time."""
    source = "import asyncio\n\nasync def exec(n):\n    await asyncio.sleep(0.1 if n % 5 == 0 else 0)\n    return n\n"
    nodes: list[Written] = [
        IN,
        {"id": "x", "type": "library", "library": "pipelib_x", "inputs": ["in"]},
        {"id": "out", "type": "mqtt_pub", "topic": "t/out", "inputs": ["x"]},
    ]
    ready = scoring(tmp_path, 1, nodes=nodes, libraries=library(tmp_path, "pipelib_x", source))
    async with desk(broker) as table, device(broker) as person:
        table.supervisor.apply({"p": ready})
        await table.serving()
        for number in range(50):
            await person.ask(str(number).encode())
        assert [await person.next() for _ in range(50)] == list(range(50))


async def test_a_run_asks_another_service_and_waits_for_its_reply(broker: BrokerAddress, tmp_path: Path) -> None:
    """A mqtt_pub before a mqtt_sub in the middle: the reply goes to the run that asked, the other branch goes on."""
    nodes: list[Written] = [
        IN,
        {"id": "ask", "type": "mqtt_pub", "topic": "t/ask", "inputs": ["in"]},
        {"id": "reply", "type": "mqtt_sub", "topic": "t/reply", "timeout_s": 15, "inputs": ["ask"]},
        {"id": "aside", "type": "mqtt_pub", "topic": "t/aside", "inputs": ["in"]},
        {"id": "out", "type": "mqtt_pub", "topic": "t/out", "inputs": ["in", "reply"]},
    ]
    async with desk(broker) as table, device(broker, "t/ask", "t/aside") as person:
        table.supervisor.apply({"p": scoring(tmp_path, 1, nodes=nodes)})
        await table.serving()
        questions = [str(number).encode() for number in range(40)]  # more than a broker leaves unacknowledged
        await person.ask(*questions)
        for number in range(40):
            assert await person.next("t/ask") == number
            assert await person.next("t/aside") == number  # not held up by the wait for a reply
            await person.ask(f'"re {number}"'.encode(), topic="t/reply")
        assert [await person.next() for _ in range(40)] == [{"in": n, "reply": f"re {n}"} for n in range(40)]


async def test_a_run_that_gets_no_reply_becomes_a_dead_letter(broker: BrokerAddress, tmp_path: Path) -> None:
    """After its timeout the message is put aside with the node that waited."""
    nodes: list[Written] = [
        IN,
        {"id": "reply", "type": "mqtt_sub", "topic": "t/reply", "timeout_s": "100ms", "inputs": ["in"]},
        {"id": "out", "type": "mqtt_pub", "topic": "t/out", "inputs": ["reply"]},
    ]
    async with desk(broker) as table, device(broker) as person:
        table.supervisor.apply({"p": scoring(tmp_path, 1, nodes=nodes)})
        await table.serving()
        await person.ask(b"1")
        letter = await person.next(LETTERS)
    assert letter["node"] == "reply"
    assert "no message came within 0.1 s" in letter["error"]


async def test_a_classifiers_labels_are_its_answer(broker: BrokerAddress, tmp_path: Path) -> None:
    """A model whose second output is a list of maps answers with its first, the labels."""
    onnx_graphs.classifier(tmp_path / "m4.onnx")
    async with desk(broker) as table, device(broker) as person:
        table.supervisor.apply({"p": scoring(tmp_path, 4)})
        await table.serving(4)
        await person.ask(orjson.dumps([{"n": 5, "one": 1}, {"n": 0, "one": 1}]))
        assert await person.next() == ["left", "right"]
