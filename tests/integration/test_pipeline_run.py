"""A pipeline file run in the foreground, with no controller and no agent."""

import signal
from pathlib import Path

import pytest

from schemas.broker import BrokerAddress
from tests import onnx_graphs
from tests.conftest import Mosquitto
from tests.integration.command import tidemill
from tests.integration.foreground import foreground
from tests.integration.pipeline_desk import LETTERS, device, question

PIPELINE = """\
name: p
nodes:
  - {id: out, type: mqtt_pub, topic: t/out, inputs: [x]}
  - {id: predict, type: model, model: m, features: [n, one], inputs: [in]}
  - {id: x, type: library, library: pipelib_x, inputs: [in, predict]}
  - {id: in, type: mqtt_sub, topic: t/in}
"""
LIBRARY = "def exec(given):\n    return {'n': given['in']['n'], 'y': given['predict'][0][0]}\n"
FILES = ("--model", "m=m.onnx", "--library", "pipelib_x=x.py")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a pipeline and all that it needs."""
    (tmp_path / "p.yaml").write_text(PIPELINE)
    (tmp_path / "x.py").write_text(LIBRARY)
    onnx_graphs.times(tmp_path / "m.onnx", 10.0)
    return tmp_path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_file_is_run_until_a_signal_ends_it(
    broker: BrokerAddress, folder: Path, number: signal.Signals
) -> None:
    """It says when it listens, answers, puts failures aside, and ends with 0 and its counters."""
    async with device(broker) as person, foreground(folder, broker, *FILES) as running:
        await running.says("listening on t/in")
        await person.ask(question(4), b"garbage")
        assert await person.next() == {"n": 4, "y": 40.0}
        assert (await person.next(LETTERS))["payload"] == "garbage"
        running.process.send_signal(number)
        said = await running.ends(0)
    assert "p: ended; received 2, answered 1, failed 1, dropped 0" in said


@pytest.mark.parametrize(
    ("change", "options", "says"),
    [
        (("type: model,", "type: modle,"), [], "p.yaml:4: nodes[1].type: node 'predict': there is no node type 'm"),
        (("inputs: [in]}", "inputs: [inn]}"), [], "p.yaml:4: nodes[1].inputs: node 'predict': 'inn' is no node"),
        (("name: p", "nome: p"), [], "p.yaml:1: nome: "),
        (("{id: in, type: mqtt_sub", "{id: in, type: [mqtt_sub"), [], "p.yaml:6: not YAML"),
        (("", ""), ["--model", "m=m.onnx"], "refers to pipelib_x: add --library pipelib_x=FILE"),
        (("", ""), ["--model", "q=m.onnx"], "with a name from m"),
        (("", ""), ["--model", "m=none.onnx"], "there is no file none.onnx"),
        (("", ""), ["--model", "m=x.py", "--library", "pipelib_x=x.py"], "node 'predict': x.py cannot be loaded"),
        (("", ""), ["--broker", "http://x"], "is no broker URL"),
        (("", ""), [*FILES, "--session", "a/b"], "--session 'a/b': write up to 100 letters, digits"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(
    broker: BrokerAddress, folder: Path, change: tuple[str, str], options: list[str], says: str
) -> None:
    """Mistakes in the file are named with file and line, others with the option; no stack trace, status 2."""
    (folder / "p.yaml").write_text(PIPELINE.replace(*change))
    ended = tidemill("pipeline", "run", "p.yaml", *options, home=folder, TIDEMILL_BROKER=broker.url)
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 2


async def test_what_is_dropped_for_want_of_room_is_told(broker: BrokerAddress, folder: Path) -> None:
    """While it runs, and when it has ended."""
    held = "import asyncio\n\nasync def exec(given):\n    await asyncio.Event().wait()\n"
    (folder / "x.py").write_text(held)
    (folder / "p.yaml").write_text(f"{PIPELINE}queue: {{in_flight: 1, size: 2, overflow: drop_newest}}\n")
    async with device(broker) as person, foreground(folder, broker, *FILES) as running:
        await running.says("listening on t/in")
        await person.ask(*(question(number) for number in range(10)))
        await running.says("p: received 1, answered 0, failed 0, dropped 7")
        running.process.send_signal(signal.SIGTERM)
        assert "p: ended; received 1, answered 0, failed 0, dropped 7" in await running.ends(0)


async def test_a_pipeline_that_stops_itself_ends_the_command(broker: BrokerAddress, folder: Path) -> None:
    """With 1, the node and the reason, and what becomes of the message."""
    (folder / "p.yaml").write_text(f"{PIPELINE}on_error: {{then: stop}}\n")
    async with device(broker) as person, foreground(folder, broker, *FILES) as running:
        await running.says("listening on t/in")
        await person.ask(b"garbage")
        said = await running.ends(1)
    assert "p: failed: stopped, as its on_error says: " in said
    assert "tidemill: p stopped, as its on_error says: " in said
    assert "that message is lost, and what waited behind it: with --session" in said


async def test_the_log_is_told_with_its_fields(mosquitto: Mosquitto, folder: Path) -> None:
    """Warnings of ours and all that a library writes; what could steer a terminal is taken out."""
    (folder / "x.py").write_text(
        "def exec(given, context):\n    context.log.info('took \\x1b[2J %s', given['in']['n'])\n    return given\n"
    )
    async with foreground(folder, mosquitto.address, *FILES) as running:
        await running.says("listening on t/in")
        async with device(mosquitto.address) as person:
            await person.ask(question(4))
            line = await running.says("took")
        assert line.endswith("INFO    took \N{REPLACEMENT CHARACTER}[2J 4 library=pipelib_x node=x")
        mosquitto.kill()
        line = await running.says("no connection to the broker")
        assert " WARNING no connection to the broker client=tidemill-run-" in line
        assert " reason=the connection to the broker at 127.0.0.1:" in line
        running.process.send_signal(signal.SIGINT)
        assert "pipeline loaded" not in await running.ends(0)
