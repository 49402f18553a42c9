"""A pipeline file run in the foreground, with no controller and no agent."""

import asyncio
import signal
from pathlib import Path

import pytest

from schemas.broker import BrokerAddress
from tests import onnx_graphs
from tests.integration.command import PROGRAM, tidemill
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
    command = [
        "pipeline",
        "run",
        "p.yaml",
        "--broker",
        broker.url,
        "--model",
        "m=m.onnx",
        "--library",
        "pipelib_x=x.py",
    ]
    async with device(broker) as person:
        process = await asyncio.create_subprocess_exec(
            str(PROGRAM), *command, cwd=folder, stderr=asyncio.subprocess.PIPE
        )
        assert process.stderr is not None
        async with asyncio.timeout(30):
            while b"listening on t/in" not in await process.stderr.readline():
                assert process.returncode is None
        await person.ask(question(4), b"garbage")
        assert await person.next() == {"n": 4, "y": 40.0}
        assert (await person.next(LETTERS))["payload"] == "garbage"
        process.send_signal(number)
        async with asyncio.timeout(10):
            said = await process.stderr.read()
            assert await process.wait() == 0
    assert "p: ended; received 2, answered 1, failed 1" in said.decode()


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
