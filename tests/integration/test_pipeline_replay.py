"""Pipelines tried with one message, and with a recording, as a person does it: no broker is there."""

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests import onnx_graphs
from tests.integration.command import PROGRAM, tidemill
from tidemill.replay.recording import Recorded, RecordingWriter

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
PIPELINE = """\
name: p
nodes:
  - {id: in, type: mqtt_sub, topic: "t/{line}/in"}
  - {id: predict, type: model, model: m, features: [n, one], inputs: [in]}
  - {id: x, type: library, library: pipelib_x, inputs: [in, predict]}
  - {id: out, type: mqtt_pub, topic: "t/{line}/out", inputs: [x]}
"""
LIBRARY = (
    "def exec(given):\n    y = given['predict'][0][0]\n    return {'y': y, 'kind': 'big' if y > 25 else 'small'}\n"
)
FILES = ("--model", "m=m.onnx", "--library", "pipelib_x=x.py")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a pipeline, all that it needs, another model, and a recording."""
    (tmp_path / "p.yaml").write_text(PIPELINE)
    (tmp_path / "x.py").write_text(LIBRARY)
    onnx_graphs.times(tmp_path / "m.onnx", 10.0)
    onnx_graphs.times(tmp_path / "other.onnx", 10.5)
    (tmp_path / "message.json").write_text('{"n": 4, "one": 1}')
    with RecordingWriter(tmp_path / "r.jsonl") as writer:
        for number in range(6):
            payload = b"garbage" if number == 5 else json.dumps({"n": number, "one": 1}).encode()
            at = NOW + timedelta(milliseconds=40 * number)
            writer.write(Recorded.of("t/a/in", payload, at, qos=1, retain=False))
        writer.write(Recorded.of("elsewhere", b"1", NOW, qos=1, retain=False))
    return tmp_path


def command(folder: Path, *arguments: str, status: int = 0) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end; it must end with that status."""
    ended = tidemill("pipeline", *arguments, home=folder)
    assert ended.returncode == status, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended


def document(ended: "subprocess.CompletedProcess[str]") -> Any:
    """What it has printed as JSON."""
    return json.loads(ended.stdout)


def test_a_message_is_shown_node_by_node(folder: Path) -> None:
    """What each node gave, and what would be published, for people and as JSON."""
    given = ("test", "p.yaml", "--input", "message.json", "--topic", "t/a/in", *FILES)
    assert document(command(folder, *given, "--json")) == {
        "nodes": {
            "in": {"n": 4, "one": 1},
            "predict": [[40.0, 10.0]],
            "x": {"y": 40.0, "kind": "big"},
            "out": {"y": 40.0, "kind": "big"},
        },
        "published": [{"topic": "t/a/out", "payload": {"y": 40.0, "kind": "big"}}],
        "failure": None,
    }
    lines = [line.split() for line in command(folder, *given).stdout.splitlines()]
    assert ["predict", "model", "[[40.0,10.0]]"] in lines
    assert ["t/a/out", '{"y":40.0,"kind":"big"}'] in lines


def test_a_message_that_fails_ends_the_test_with_1(folder: Path) -> None:
    """The node and the reason are told; the nodes before it are shown, those behind it were not reached."""
    given = ("pipeline", "test", "p.yaml", "--input", "-", "--topic", "t/a/in", *FILES)
    ended = subprocess.run(
        [str(PROGRAM), *given, "--json"], cwd=folder, input='{"n": 4}', capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert document(ended)["nodes"] == {"in": {"n": 4}}
    told = json.loads(ended.stderr)["message"]
    assert told == "the message fails at node 'predict': feature 'one' is missing in row 0"


@pytest.mark.parametrize(
    ("change", "options", "says", "status"),
    [
        (("", ""), [], "say with --topic what the message comes on; the pipeline takes t/+/in", 2),
        (("", ""), ["--topic", "u"], "--topic u: the pipeline takes t/+/in", 2),
        (("", ""), ["--topic", "t/a/in", "--input", "none"], "there is no file none", 3),
        (("type: model,", "type: modle,"), ["--topic", "t/a/in"], "p.yaml:4: nodes[1].type: node 'predict': there", 2),
    ],
)
def test_what_cannot_be_tried_is_said(
    folder: Path, change: tuple[str, str], options: list[str], says: str, status: int
) -> None:
    """With an exit status, and without a stack trace."""
    (folder / "p.yaml").write_text(PIPELINE.replace(*change))
    ended = command(folder, "test", "p.yaml", "--input", "message.json", *FILES, *options, status=status)
    assert says in ended.stderr


def test_a_test_may_bring_the_reply_that_a_node_waits_for(folder: Path) -> None:
    """Without it the node fails, at once."""
    (folder / "asking.yaml").write_text(
        "name: a\nnodes:\n  - {id: in, type: mqtt_sub, topic: t/in}\n"
        "  - {id: ask, type: mqtt_pub, topic: t/ask, inputs: [in]}\n"
        "  - {id: reply, type: mqtt_sub, topic: t/reply, inputs: [ask]}\n"
        "  - {id: out, type: mqtt_pub, topic: t/out, inputs: [reply]}\n"
    )
    (folder / "reply.json").write_text('"yes"')
    given = ("test", "asking.yaml", "--input", "message.json", "--json")
    answered = document(command(folder, *given, "--reply", "t/reply=reply.json"))
    assert answered["published"][-1] == {"topic": "t/out", "payload": "yes"}
    assert "no later message on 't/reply'" in command(folder, *given, status=1).stderr
    unheard = command(folder, *given, "--reply", "t/in=reply.json", status=2).stderr
    assert "no mqtt_sub with inputs waits for a message on 't/in'; those that are there listen on t/reply" in unheard
    plain = ("test", "p.yaml", "--input", "message.json", "--topic", "t/a/in", *FILES, "--reply", "t/reply=reply.json")
    assert "on 't/reply'; none is there" in command(folder, *plain, status=2).stderr


def test_libraries_write_to_stderr(folder: Path) -> None:
    """What one logs is seen with its node, and stdout has nothing but the data."""
    (folder / "x.py").write_text("def exec(given, context):\n    context.log.info('looked')\n    return given\n")
    given = ("test", "p.yaml", "--input", "message.json", "--topic", "t/a/in", *FILES, "--json")
    tried = command(folder, *given)
    assert document(tried)["failure"] is None
    assert tried.stderr.endswith("INFO    looked library=pipelib_x node=x\n")
    replayed = command(folder, "replay", "p.yaml", "r.jsonl", *FILES, "--json")
    assert document(replayed)["messages"] == 6
    assert replayed.stderr.count("INFO    looked library=pipelib_x node=x\n") == 5


def test_a_package_that_cannot_be_loaded_is_warned_of(folder: Path) -> None:
    """With the node type, the package and the reason."""
    described = folder / "site" / "acme-1.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1\n")
    (described / "entry_points.txt").write_text("[tidemill.nodes]\nhot = acme_is_gone:NODE\n")
    given = ("pipeline", "test", "p.yaml", "--input", "message.json", "--topic", "t/a/in", *FILES, "--json")
    tried = tidemill(*given, home=folder, PYTHONPATH=str(folder / "site"))
    assert document(tried)["failure"] is None
    assert " WARNING node type not taken type=hot package=acme reason=acme_is_gone:NODE cannot be" in tried.stderr


@pytest.mark.parametrize(
    ("option", "says"),
    [
        (("--against-model", "q=m.onnx"), "--against-model q=m.onnx: write NAME=FILE, with a name from m"),
        (("--against-library", "x.py"), "--against-library x.py: write NAME=FILE, with a name from pipelib_x"),
        (("--against", "q.yaml"), "the pipeline refers to pipelib_y: add --against-library pipelib_y=FILE"),
        (("--model", "q=m.onnx"), "--model q=m.onnx: write NAME=FILE, with a name from m"),
    ],
)
def test_a_mistake_is_told_with_the_option_that_has_it(folder: Path, option: tuple[str, str], says: str) -> None:
    """As it was written."""
    (folder / "q.yaml").write_text(PIPELINE.replace("pipelib_x", "pipelib_y"))
    assert says in command(folder, "replay", "p.yaml", "r.jsonl", *FILES, *option, status=2).stderr


def test_messages_that_a_replay_has_no_use_for_are_told(folder: Path) -> None:
    """How many, and a topic; what a node in the middle may wait for is none of them."""
    told = "messages passed over, because no mqtt_sub listens for them: 1, such as on 'elsewhere'"
    replayed = command(folder, "replay", "p.yaml", "r.jsonl", *FILES, "--json")
    assert told in replayed.stderr
    assert document(replayed)["messages"] == 6
    (folder / "asking.yaml").write_text(
        "name: a\nnodes:\n  - {id: in, type: mqtt_sub, topic: t/a/in}\n"
        "  - {id: reply, type: mqtt_sub, topic: elsewhere, inputs: [in]}\n"
        "  - {id: out, type: mqtt_pub, topic: t/out, inputs: [reply]}\n"
    )
    assert "passed over" not in command(folder, "replay", "asking.yaml", "r.jsonl").stderr


def test_a_recording_is_replayed_and_its_answers_compared(folder: Path) -> None:
    """One pipeline's answers are counted and kept; two models' are compared, within a tolerance or exactly."""
    base = ("replay", "p.yaml", "r.jsonl", *FILES)
    alone = document(command(folder, *base, "--out", "a.jsonl", "--json"))
    assert (alone["messages"], alone["failed"], alone["answers"]) == (6, 1, 5)
    assert alone["failures"][0]["node"] == "in"
    assert set(alone["latency_ms"]) == {"p50", "p95", "p99", "longest"}

    other = ("--against-model", "m=other.onnx")
    found = document(command(folder, *base, *other, "--json", status=1))
    assert (found["messages"], found["equal"], found["different"]) == (6, 2, 4)
    assert found["labels"] == []
    assert found["numbers"] == [{"topic": "t/a/out", "path": "$.y", "farthest": 2.0}]
    assert found["differences"][0] == {
        "message": 2,
        "kind": "value",
        "topic": "t/a/out",
        "path": "$.y",
        "before": 10.0,
        "after": 10.5,
    }
    assert "6 messages: 6 equal, 0 different" in command(folder, *base, *other, "--tolerance", "2").stderr
    assert command(folder, *base, *other, "--relative-tolerance", "0.05").returncode == 0

    (folder / "q.yaml").write_text(PIPELINE.replace("pipelib_x", "pipelib_y"))
    (folder / "y.py").write_text(LIBRARY.replace("25", "15"))
    versions = (*base, "--against", "q.yaml", "--against-library", "pipelib_y=y.py")
    told = command(folder, *versions, status=1)
    assert ["1", "t/a/out", "$.kind", "small", "big"] in [line.split() for line in told.stdout.splitlines()]

    command(folder, *base, "--speed", "100", "--out", "b.jsonl")
    assert command(folder, "diff-answers", "a.jsonl", "b.jsonl").returncode == 0
    assert "is there already" in command(folder, *base, "--out", "b.jsonl", status=4).stderr
    assert "--speed 0: write max" in command(folder, *base, "--speed", "0", status=2).stderr
