"""What the broker keeps for `tidemill pipeline run --session` while it does not run."""

import signal
from pathlib import Path

import pytest

from schemas.broker import BrokerAddress
from tests.integration.command import tidemill
from tests.integration.foreground import foreground
from tests.integration.pipeline_desk import device, question

PIPELINE = """\
name: p
nodes:
  - {id: in, type: mqtt_sub, topic: t/in}
  - {id: x, type: library, library: pipelib_x, inputs: [in]}
  - {id: out, type: mqtt_pub, topic: t/out, inputs: [x]}
"""
DYING = """\
import os, pathlib, signal

def exec(given):
    if given["n"] == 50 and not pathlib.Path("died").exists():
        pathlib.Path("died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return given
"""
OPTIONS = ("--library", "pipelib_x=x.py", "--session", "press-1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a pipeline whose library kills the process once, at message 50."""
    (tmp_path / "p.yaml").write_text(PIPELINE)
    (tmp_path / "x.py").write_text(DYING)
    return tmp_path


async def test_no_message_is_lost_by_a_kill_nor_while_it_does_not_run(broker: BrokerAddress, folder: Path) -> None:
    """Killed with -9 in the midst of numbered messages, ended by a signal, and started again: all are answered."""
    answered: set[int] = set()
    async with device(broker) as person:
        async with foreground(folder, broker, *OPTIONS) as running:
            await running.says("listening on t/in")
            await person.ask(*(question(number) for number in range(100)))
            await running.ends(-signal.SIGKILL)
        await person.ask(*(question(number) for number in range(100, 150)))
        async with foreground(folder, broker, *OPTIONS) as running:
            while len(answered) < 150:
                answered.add((await person.next())["n"])
            running.process.send_signal(signal.SIGINT)
            await running.ends(0)
        await person.ask(question(150))
        async with foreground(folder, broker, *OPTIONS):
            while 150 not in answered:
                answered.add((await person.next())["n"])
    assert answered == set(range(151))


async def test_a_topic_that_is_listened_to_no_more_holds_nothing_up(broker: BrokerAddress, folder: Path) -> None:
    """More messages of it than the broker sends without an acknowledgement wait in the session, and go."""
    async with device(broker) as person:
        async with foreground(folder, broker, *OPTIONS) as running:
            await running.says("listening on t/in")
            running.process.kill()
            await running.ends(-signal.SIGKILL)
        await person.ask(*(question(number) for number in range(60)))
        (folder / "p.yaml").write_text(PIPELINE.replace("t/in", "t/other"))
        async with foreground(folder, broker, *OPTIONS) as running:
            await running.says("listening on t/other")
            await person.ask(question(7), topic="t/other")
            assert (await person.next())["n"] == 7
            running.process.send_signal(signal.SIGINT)
            assert "received 1, answered 1, failed 0" in await running.ends(0)


async def test_a_message_that_stopped_the_pipeline_stays_at_the_broker(broker: BrokerAddress, folder: Path) -> None:
    """The next one has it first, and answers it and what came behind it when it can."""
    (folder / "p.yaml").write_text(f"{PIPELINE}on_error: {{then: stop}}\n")
    (folder / "x.py").write_text("def exec(given):\n    return 1 / given['n']\n")
    async with device(broker) as person:
        async with foreground(folder, broker, *OPTIONS) as running:
            await running.says("listening on t/in")
            await person.ask(question(0), question(4))
            assert "the broker keeps that message for session 'press-1'" in await running.ends(1)
        (folder / "x.py").write_text("def exec(given):\n    return given\n")
        async with foreground(folder, broker, *OPTIONS):
            assert [(await person.next())["n"] for _ in range(2)] == [0, 4]


async def test_a_session_is_for_one_process(broker: BrokerAddress, folder: Path) -> None:
    """A second one is told who has it, and ends with 4; the first goes on."""
    async with device(broker) as person, foreground(folder, broker, *OPTIONS) as running:
        await running.says("listening on t/in")
        second = tidemill(
            *("pipeline", "run", "p.yaml", *OPTIONS, "--broker", broker.url),
            home=folder,
            XDG_STATE_HOME=str(folder / "state"),
        )
        assert second.returncode == 4
        assert f"another pipeline run (pid {running.process.pid}) uses " in second.stderr
        assert "give each a --session of its own" in second.stderr
        await person.ask(question(1))
        assert (await person.next())["n"] == 1
