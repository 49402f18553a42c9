"""Workers swapped, killed, stuck and removed while messages keep coming."""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path

import orjson
import psutil
import pytest

from edge_agent.shelf.ready import ReadyModel, ReadyPipeline
from edge_agent.worker.worker_protocol import Connect, read_order
from schemas.broker import BrokerAddress
from schemas.report import PipelineState, PipelineStatus
from tests.conftest import Mosquitto, select_wait
from tests.integration.pipeline_desk import (
    IN,
    LETTERS,
    SCORING,
    Device,
    Written,
    desk,
    device,
    library,
    question,
    scoring,
)
from transport.mqtt import connect

RATE_HZ = 200


async def ask_at_a_steady_rate(person: Device, count: int) -> None:
    """Questions 0 … count − 1, each at its time by the loop's clock."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    asking = []
    for number in range(count):
        async with asyncio.timeout(60):
            await asyncio.sleep(began + number / RATE_HZ - loop.time())
        asking.append(asyncio.create_task(person.ask(question(number))))
    await asyncio.gather(*asking)


def worker_pids() -> list[int]:
    """The worker processes of this test."""
    children = psutil.Process().children(recursive=True)
    return [child.pid for child in children if "edge_agent.worker.pipeline_worker" in " ".join(child.cmdline())]


async def test_a_new_model_version_takes_over_between_two_messages(broker: BrokerAddress, tmp_path: Path) -> None:
    """At 200 messages a second, three swaps lose none, repeat none, fail none and mix up none."""
    count = 800
    async with desk(broker) as table, device(broker) as person:
        table.supervisor.apply({"p": scoring(tmp_path, 1)})
        await table.serving(1)
        asking = asyncio.create_task(ask_at_a_steady_rate(person, count))
        answers = []
        for version in (2, 3, 4):
            answers += [await person.next() for _ in range(count // 5)]
            table.supervisor.apply({"p": scoring(tmp_path, version)})
            await table.serving(version)
        answers += [await person.next() for _ in range(count - len(answers))]
        await asking
        status = await table.until(lambda status: status.answered == count)
        assert (status.received, status.failed, status.restarts) == (count, 0, 0)
    assert [answer[0][0] / answer[0][1] for answer in answers] == list(range(count))  # in order, once each
    versions = [answer[0][1] for answer in answers]
    assert versions == sorted(versions)
    assert set(versions) == {1.0, 2.0, 3.0, 4.0}


async def test_a_killed_worker_loses_no_message(broker: BrokerAddress, tmp_path: Path) -> None:
    """``kill -9`` under load, twice: every QoS 1 message is answered at least once by the workers that follow."""
    count = 600
    async with desk(broker) as table, device(broker) as person:
        table.supervisor.apply({"p": scoring(tmp_path, 1)})
        await table.serving()
        asking = asyncio.create_task(ask_at_a_steady_rate(person, count))
        seen: Counter[int] = Counter()
        for restarts in (1, 2):
            while len(seen) < restarts * count // 4:
                seen[int((await person.next())[0][0])] += 1
            (pid,) = worker_pids()
            os.kill(pid, signal.SIGKILL)
            status = await table.until(lambda status: "SIGKILL" in status.reason)
            assert status.restarts == restarts
            await table.serving()
        while len(seen) < count:
            seen[int((await person.next())[0][0])] += 1
        await asking
    assert set(seen) == set(range(count))


async def test_messages_wait_at_the_broker_while_no_worker_runs(broker: BrokerAddress, tmp_path: Path) -> None:
    """What comes between one agent and the next is answered by the next; an agent that ends forgets no session."""
    async with device(broker) as person:
        async with desk(broker) as table:
            table.supervisor.apply({"p": scoring(tmp_path, 1)})
            await table.serving()
        assert worker_pids() == []
        await person.ask(*(question(number) for number in range(30)))
        async with desk(broker) as table:
            table.supervisor.apply({"p": scoring(tmp_path, 2)})
            assert [await person.next() for _ in range(30)] == [[[2.0 * n, 2.0]] for n in range(30)]


async def test_a_paused_pipeline_is_idle_and_loses_nothing(broker: BrokerAddress, tmp_path: Path) -> None:
    """Its worker ends what is in flight and goes; the broker keeps what comes until the pipeline goes on."""
    async with desk(broker) as table, device(broker) as person:
        table.supervisor.apply({"p": scoring(tmp_path, 1)})
        await table.serving()
        await person.ask(*(question(number) for number in range(10)))
        table.supervisor.apply({"p": scoring(tmp_path, 1, paused=True)})
        status = await table.until(lambda status: status.state is PipelineState.IDLE)
        assert (status.reason, status.restarts, worker_pids()) == ("paused", 0, [])
        await person.ask(*(question(number) for number in range(10, 20)))
        table.supervisor.apply({"p": scoring(tmp_path, 1)})
        assert [await person.next() for _ in range(20)] == [[[1.0 * number, 1.0]] for number in range(20)]
        assert (await table.until(lambda status: status.answered == 20)).restarts == 0


def is_in(state: PipelineState, status: PipelineStatus) -> bool:
    """Whether that is its state."""
    return status.state is state


async def test_a_pipeline_that_keeps_failing_can_be_removed(broker: BrokerAddress, tmp_path: Path) -> None:
    """Between two starts, and while it starts: it is gone at once, and so is its worker (defect 38)."""
    broken = library(tmp_path, "pipelib_x", "raise SystemExit(3)\n")
    nodes: list[Written] = [IN, {"id": "x", "type": "library", "library": "pipelib_x", "inputs": ["in"]}]
    async with desk(broker) as table:
        for state in (PipelineState.FAILED, PipelineState.STARTING):
            table.supervisor.apply({"p": scoring(tmp_path, 1, nodes=nodes, libraries=broken)})
            await table.until(partial(is_in, state))
            table.supervisor.apply({})
            assert table.supervisor.statuses() == ()
            async with asyncio.timeout(20):
                while worker_pids():
                    await asyncio.to_thread(select_wait, 0.01)


async def test_a_model_that_cannot_be_loaded_leaves_the_old_one_answering(
    broker: BrokerAddress, tmp_path: Path
) -> None:
    """The status is degraded and says why; the next good version mends it (defect 39)."""
    (tmp_path / "m2.onnx").write_bytes(b"no model")
    async with desk(broker) as table, device(broker) as person:
        table.supervisor.apply({"p": scoring(tmp_path, 1)})
        await table.serving(1)
        table.supervisor.apply({"p": scoring(tmp_path, 2)})
        status = await table.until(lambda status: status.state is PipelineState.DEGRADED)
        assert "node 'predict': m2.onnx cannot be loaded" in status.reason
        assert (status.models, status.restarts) == ({"m": 1}, 0)
        await person.ask(question(5))
        assert await person.next() == [[5.0, 1.0]]
        table.supervisor.apply({"p": scoring(tmp_path, 3)})
        assert (await table.serving(3)).reason == ""
        await person.ask(question(5))
        assert await person.next() == [[15.0, 3.0]]


async def test_a_pipeline_that_never_loaded_says_why(broker: BrokerAddress, tmp_path: Path) -> None:
    """The worker ends, the reason stays, and a version that loads is started at once."""
    broken = library(tmp_path, "pipelib_x", "def exec(a, b, c):\n    return a\n")
    nodes: list[Written] = [IN, {"id": "x", "type": "library", "library": "pipelib_x", "inputs": ["in"]}]
    async with desk(broker) as table:
        table.supervisor.apply({"p": scoring(tmp_path, 1, nodes=nodes, libraries=broken)})
        status = await table.until(lambda status: status.state is PipelineState.FAILED)
        assert "`exec` must take its input, or its input and the context" in status.reason
        table.supervisor.apply({"p": scoring(tmp_path, 1)})
        await table.serving()


async def test_a_library_that_kills_its_process_hurts_no_other_pipeline(broker: BrokerAddress, tmp_path: Path) -> None:
    """The one is started again with its reason told; the other goes on as if nothing had happened."""
    source = "import os\n\ndef exec(value):\n    if value == 'die':\n        os._exit(7)\n    return value\n"
    nodes: list[Written] = [
        {**IN, "topic": "t/fragile", "qos": 0},  # QoS 0: the message that kills is not sent again
        {"id": "x", "type": "library", "library": "pipelib_x", "inputs": ["in"]},
        {"id": "out", "type": "mqtt_pub", "topic": "t/survived", "inputs": ["x"]},
    ]
    fragile = scoring(tmp_path, 1, name="fragile", nodes=nodes, libraries=library(tmp_path, "pipelib_x", source))
    async with desk(broker) as table, device(broker, "t/survived") as person:
        table.supervisor.apply({"p": scoring(tmp_path, 1), "fragile": fragile})
        await table.serving()
        await table.serving(name="fragile")
        await person.ask(b'"die"', topic="t/fragile")
        status = await table.until(lambda status: status.restarts == 1, "fragile")
        assert "exit code 7" in status.reason
        await table.serving(name="fragile")
        await person.ask(b'"live"', topic="t/fragile")
        assert await person.next("t/survived") == "live"
        await person.ask(question(1))
        assert await person.next() == [[1.0, 1.0]]
        assert (await table.serving()).restarts == 0


async def test_a_stuck_library_does_not_hold_up_the_agents_end(broker: BrokerAddress, tmp_path: Path) -> None:
    """A worker that cannot listen any more, with a child of its own, is gone within five seconds all the same."""
    source = (
        "import subprocess\n\ndef exec(value):\n"
        "    subprocess.Popen(['sleep', '1000'])\n    while True:\n        pass\n"
    )
    nodes: list[Written] = [IN, {"id": "x", "type": "library", "library": "pipelib_x", "inputs": ["in"]}]
    ready = scoring(tmp_path, 1, nodes=nodes, libraries=library(tmp_path, "pipelib_x", source))
    async with device(broker) as person:
        async with desk(broker) as table:
            table.supervisor.apply({"p": ready})
            await table.serving()
            (pid,) = worker_pids()
            await person.ask(b"1")
            child = await asyncio.to_thread(first_child, pid)
            began = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - began < 6
    assert not psutil.pid_exists(pid)
    gone = not child.is_running() or child.status() == psutil.STATUS_ZOMBIE  # where no init process buries it
    assert gone


def first_child(pid: int) -> psutil.Process:
    """A process that this one starts."""
    for _ in range(1000):
        for child in psutil.Process(pid).children():
            return child
        select_wait(0.02)
    raise TimeoutError("no child in 20 s")


async def test_a_message_that_kills_every_worker_is_put_aside(broker: BrokerAddress, tmp_path: Path) -> None:
    """A QoS 1 message that is sent again after each crash ends as a dead letter; those beside it are all answered."""
    source = "import os\n\ndef exec(value):\n    if value == 13:\n        os.abort()\n    return value\n"
    nodes: list[Written] = [
        IN,
        {"id": "x", "type": "library", "library": "pipelib_x", "inputs": ["in"]},
        {"id": "out", "type": "mqtt_pub", "topic": "t/out", "inputs": ["x"]},
    ]
    ready = scoring(tmp_path, 1, nodes=nodes, libraries=library(tmp_path, "pipelib_x", source))
    async with desk(broker) as table, device(broker) as person:
        table.supervisor.apply({"p": ready})
        await table.serving()
        await person.ask(*(str(number).encode() for number in range(30)))
        seen: set[int] = set()
        while len(seen) < 29:
            seen.add(await person.next())
        letter = await person.next(LETTERS)
        status = await table.until(lambda status: status.failed == 1)
    assert seen == set(range(30)) - {13}
    assert letter["payload"] == "13"
    assert "ended the worker process" in letter["error"]
    assert status.restarts == 4


async def test_changed_topics_are_left_even_if_the_worker_was_away(broker: BrokerAddress, tmp_path: Path) -> None:
    """A pipeline that listens elsewhere now no longer takes messages of its old topic, swapped live or restarted."""
    elsewhere = scoring(tmp_path, 1, nodes=[{**IN, "topic": "t/elsewhere"}, *SCORING[1:]])
    sessions = tmp_path / "sessions.json"
    async with device(broker) as person:
        async with desk(broker, sessions) as table:
            table.supervisor.apply({"p": scoring(tmp_path, 1)})
            await table.serving()
        async with desk(broker, sessions) as table:
            table.supervisor.apply({"p": elsewhere})
            await table.serving()
            await person.ask(question(1))
            await person.ask(question(2), topic="t/elsewhere")
            assert await person.next() == [[2.0, 1.0]]
            table.supervisor.apply({"p": scoring(tmp_path, 2)})
            await table.serving(2)
            await person.ask(question(3), topic="t/elsewhere")
            await person.ask(question(4))
            assert await person.next() == [[8.0, 2.0]]
            assert (await table.until(lambda status: status.answered == 2)).received == 2


async def session_of(broker: BrokerAddress, pipeline: str) -> int:
    """How many messages the broker keeps for a pipeline whose worker is gone."""
    kept = 0
    async with connect(broker, f"tidemill-press-1-pipeline-{pipeline}", clean_session=False) as link:
        subscription = await link.subscribe("t/in")
        async with connect(broker, "probe") as probe:
            await probe.publish("t/in", b"last")
        async with asyncio.timeout(5):
            async for message in subscription:
                if message.payload == b"last":
                    break
                kept += 1
    async with connect(broker, f"tidemill-press-1-pipeline-{pipeline}"):
        return kept


@pytest.mark.parametrize("meanwhile", ["running", "off"])
async def test_a_removed_pipeline_leaves_no_session_behind(
    broker: BrokerAddress, tmp_path: Path, meanwhile: str
) -> None:
    """The broker keeps no messages for it any more, be it removed while the agent runs or while it is off."""
    sessions = tmp_path / "sessions.json"
    async with device(broker) as person:
        async with desk(broker, sessions) as table:
            table.supervisor.apply({"p": scoring(tmp_path, 1)}, coming=["p"])
            await table.serving()
            if meanwhile == "running":
                table.supervisor.apply({}, coming=[])
                assert table.supervisor.statuses() == ()
                await forgotten(sessions)
        async with desk(broker, sessions) as table:
            table.supervisor.apply({}, coming=[])
            await forgotten(sessions)
        await person.ask(question(1), question(2))
    assert worker_pids() == []
    assert await session_of(broker, "p") == 0


async def forgotten(sessions: Path) -> None:
    """Return once no session is noted any more."""

    def look() -> None:
        for _ in range(1000):
            if not json.loads(sessions.read_bytes()):
                return
            select_wait(0.02)
        raise TimeoutError("a session is still noted after 20 s")

    await asyncio.to_thread(look)


async def test_a_pipeline_that_is_not_ready_yet_keeps_its_messages(broker: BrokerAddress, tmp_path: Path) -> None:
    """After a restart of the agent, the session of a pipeline whose files are still fetched is left alone."""
    sessions = tmp_path / "sessions.json"
    async with device(broker) as person:
        async with desk(broker, sessions) as table:
            table.supervisor.apply({"p": scoring(tmp_path, 1)}, coming=["p"])
            await table.serving()
        await person.ask(question(3))
        async with desk(broker, sessions) as table:
            table.supervisor.apply({}, coming=["p"])
            table.supervisor.apply({"p": scoring(tmp_path, 1)}, coming=["p"])
            assert await person.next() == [[3.0, 1.0]]


async def test_a_broker_that_comes_back_finds_the_pipeline_listening(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """While the broker is away the status says so; afterwards answers flow again, from the same worker."""
    async with desk(mosquitto.address) as table, device(mosquitto.address) as person:
        table.supervisor.apply({"p": scoring(tmp_path, 1)})
        await table.serving()
        mosquitto.kill()
        status = await table.until(lambda status: status.state is PipelineState.DEGRADED)
        assert "broker" in status.reason
        mosquitto.start()
        await table.serving()
        await person.ask(question(6))
        assert await person.next() == [[6.0, 1.0]]
        assert (await table.serving()).restarts == 0


async def test_a_broker_that_is_stopped_under_load_loses_no_message(tmp_path: Path) -> None:
    """One that saves its sessions is stopped twice while messages flow: each is answered, though the worker stays."""
    mosquitto = Mosquitto(tmp_path, f"persistence true\npersistence_location {tmp_path}/")
    mosquitto.start()
    count, answered = 600, set[int]()
    try:
        async with (
            desk(mosquitto.address) as table,
            connect(mosquitto.address, "asker") as asker,
            connect(mosquitto.address, "listener", clean_session=False) as listener,
        ):
            table.supervisor.apply({"p": scoring(tmp_path, 1)})
            await table.serving()
            answers = await listener.subscribe("t/out")
            asking = [asyncio.create_task(asker.publish("t/in", question(number))) for number in range(count)]
            for restart_at in (count // 4, count // 2, count):
                while len(answered) < restart_at:
                    async with asyncio.timeout(20):
                        answered.add(int(orjson.loads((await anext(answers)).payload)[0][0]))
                if restart_at < count:
                    mosquitto.stop()
                    mosquitto.start()
            await asyncio.gather(*asking)
            assert (await table.serving()).restarts == 0
    finally:
        mosquitto.kill()
    assert answered == set(range(count))


async def test_a_broker_killed_under_load_leaves_no_question_unanswered(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """What it had confirmed and then forgot is asked again by who asked; the same worker answers all of it."""
    count, answered = 400, set[int]()
    async with desk(mosquitto.address) as table, device(mosquitto.address) as person:
        table.supervisor.apply({"p": scoring(tmp_path, 1)})
        await table.serving()
        asking = asyncio.create_task(person.ask(*(question(number) for number in range(count))))
        while len(answered) < count // 3:
            answered.add(int((await person.next())[0][0]))
        mosquitto.kill()
        mosquitto.start()
        await asking
        while missing := set(range(count)) - answered:
            await person.ask(*(question(number) for number in missing))
            with suppress(TimeoutError):  # they came before the worker had subscribed anew: ask once more
                while len(answered) < count:
                    answered.add(int((await person.next(patience_s=2))[0][0]))
        assert (await table.serving()).restarts == 0


async def test_a_worker_whose_agent_is_gone_ends_by_itself(broker: BrokerAddress, tmp_path: Path) -> None:
    """An agent killed with ``kill -9`` leaves no worker behind, and no password on any command line."""
    agent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.supervising_process", broker.url, str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert agent.stdout is not None
    async with asyncio.timeout(30):
        assert await agent.stdout.readline() == b"listening\n"
    (worker,) = psutil.Process(agent.pid).children()
    assert "secret" not in " ".join(worker.cmdline() + list(worker.environ().values()))
    agent.kill()
    await agent.wait()
    gone, alive = await asyncio.to_thread(psutil.wait_procs, [worker], timeout=10)
    assert (len(gone), alive) == (1, [])


def test_a_pipelines_order_keeps_its_secrets(tmp_path: Path) -> None:
    """What a worker is told survives the way there, password included."""
    address = BrokerAddress.model_validate({"url": "mqtt://127.0.0.1", "username": "press-1", "password": "secret"})
    order = read_order(Connect(broker=address, client_id="x").to_line())
    assert isinstance(order, Connect)
    assert order.broker.credentials == ("press-1", "secret")
    load = ReadyPipeline("p", 1, scoring(tmp_path, 1).spec, {"m": ReadyModel("m", 1, tmp_path)}, {}).as_order()
    assert read_order(load.to_line()) == load
    assert orjson.loads(load.to_line())["models"]["m"]["version"] == 1
