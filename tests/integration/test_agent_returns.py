"""An edge goes back by itself from what does not do, says so, and stays there."""

import re
from pathlib import Path

import psutil
import pytest

from schemas.broker import BrokerAddress
from schemas.manifest import WantedHealth
from schemas.report import PipelineState
from tests.conftest import Mosquitto
from tests.integration.agent_process import AgentProcess, until
from tests.integration.returning_bench import (
    SOON,
    answers,
    ask,
    content,
    first_answers,
    model,
    previous_in_journal,
    the_one,
    went_back,
)
from tests.integration.scripted_controller import ScriptedController
from tests.integration.test_agent_deployments import adding
from transport.mqtt import connect

CRASH = "if asked == 13:\n    import os\n    os._exit(9)"
FAIL = "if asked >= 100:\n    raise ValueError('too much')"


def worker(agent: AgentProcess) -> psutil.Process:
    """The process of the one pipeline."""
    children = psutil.Process(agent.pid).children()
    (found,) = [child for child in children if "edge_agent.worker.pipeline_worker" in child.cmdline()]
    return found


async def test_a_crash_in_the_watch_time_goes_back_and_loses_nothing(
    scripted: ScriptedController, agent: AgentProcess, broker: BrokerAddress
) -> None:
    """A QoS 1 message that ends the new worker is answered by the old content, and so are all others (defect 29)."""
    await scripted.want(pipelines=(content(scripted, 1),))
    await scripted.report(lambda report: answers(report, 1))
    await scripted.want(pipelines=(content(scripted, 2, more=CRASH),))
    await scripted.report(lambda report: answers(report, 2))
    assert await ask(broker, 5) == [[5, 2]]
    told = await ask(broker, *range(40))
    assert [asked for asked, _ in told] == list(range(40))
    assert told[13] == [13, 1]
    report = await scripted.report(lambda report: went_back(report, 1, 2))
    status = the_one(report)
    assert status.returned is not None
    assert (status.state, status.version, status.returned.version) == (PipelineState.DEGRADED, 1, 2)
    assert status.returned.models == {"add": 2}
    assert "its worker ended: it ended with exit code 9" in status.returned.reason
    assert "went back from version 2" in status.reason
    assert previous_in_journal(agent) == []


@pytest.mark.usefixtures("agent")
async def test_too_many_failures_go_back(scripted: ScriptedController, broker: BrokerAddress) -> None:
    """More than half of the messages fail: the old content answers again, and the next wanted content is tried."""
    await scripted.want(pipelines=(content(scripted, 1),))
    await scripted.report(lambda report: answers(report, 1))
    await scripted.want(pipelines=(content(scripted, 2, more=FAIL),))
    await scripted.report(lambda report: answers(report, 2))
    async with connect(broker, "sender") as sender:
        for number in (1, 2, 100, 101, 102, 103):
            await sender.publish("in", b"[%d]" % number)
    status = the_one(await scripted.report(lambda report: went_back(report, 1, 2)))
    assert status.returned is not None
    assert re.fullmatch("3 of 5 messages failed; 50% may|4 of 6 messages failed; 50% may", status.returned.reason)
    assert await ask(broker, 200) == [[200, 1]]
    await scripted.want(pipelines=(content(scripted, 3),))
    status = the_one(await scripted.report(lambda report: answers(report, 3)))
    assert (status.returned, status.reason, status.state) == (None, "", PipelineState.LISTENING)


@pytest.mark.usefixtures("agent")
async def test_answers_that_come_too_late_go_back(scripted: ScriptedController, broker: BrokerAddress) -> None:
    """A content whose every answer takes longer than its health allows is left."""
    health = SOON.model_copy(update={"max_p95_s": 0.1})
    await scripted.want(pipelines=(content(scripted, 1),))
    await scripted.report(lambda report: answers(report, 1))
    await scripted.want(pipelines=(content(scripted, 2, more="import time\ntime.sleep(0.2)", health=health),))
    await scripted.report(lambda report: answers(report, 2))
    await ask(broker, *range(6))
    status = the_one(await scripted.report(lambda report: went_back(report, 1, 2)))
    assert status.returned is not None
    assert "(p95); 0.1 s are allowed" in status.returned.reason


async def test_what_went_back_stays_there_offline(
    scripted: ScriptedController, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """After ``kill -9``, and with no controller and no broker of its, the old content answers still."""
    (folder := tmp_path / "data-broker").mkdir()
    (edge := tmp_path / "offline-edge").mkdir()
    data = Mosquitto(folder)
    data.start()
    url = f'{{ url = "{data.address.url}" }}'
    try:
        with AgentProcess.running(edge, mosquitto.address, scripted.key.public_key, data_broker=url) as agent:
            await scripted.want(pipelines=(content(scripted, 1),))
            await scripted.report(lambda report: answers(report, 1))
            await scripted.want(pipelines=(content(scripted, 2, more=CRASH),))
            await scripted.report(lambda report: answers(report, 2))
            assert await ask(data.address, 13) == [[13, 1]]
            await scripted.report(lambda report: went_back(report, 1, 2))
            mosquitto.kill()
            agent.kill()
            async with connect(data.address, "device") as device:
                coming = await device.subscribe("out")
                agent.start()
                await device.publish("in", b"[13]")
                assert await first_answers(coming, {13}) == [[13, 1]]
                mosquitto.start()
                session = scripted.reports[-1].session_id
                report = await scripted.report(lambda report: report.session_id != session)
                await scripted.report(lambda report: went_back(report, 1, 2))
                assert report.generation == 2
    finally:
        data.kill()


async def test_an_agent_killed_in_the_watch_time_still_goes_back(
    scripted: ScriptedController, agent: AgentProcess, broker: BrokerAddress
) -> None:
    """What can be gone back to outlives the agent, with its files."""
    await scripted.want(pipelines=(content(scripted, 1),))
    await scripted.report(lambda report: answers(report, 1))
    await scripted.want(pipelines=(content(scripted, 2, more=CRASH),))
    await scripted.report(lambda report: answers(report, 2))
    agent.kill()
    agent.start()
    session = scripted.reports[-1].session_id
    await scripted.report(lambda report: report.session_id != session and answers(report, 2))
    assert (agent.data_dir / "models/add/1/model.onnx").is_file()
    await scripted.send_no_blobs()
    assert await ask(broker, 13) == [[13, 1]]
    await scripted.report(lambda report: went_back(report, 1, 2))


async def test_what_has_proved_itself_stays(
    scripted: ScriptedController, agent: AgentProcess, broker: BrokerAddress
) -> None:
    """After its watch time a crash is a crash: the worker is started again with the same content."""
    await scripted.want(pipelines=(content(scripted, 1),))
    await scripted.report(lambda report: answers(report, 1))
    await scripted.want(pipelines=(content(scripted, 2, health=WantedHealth(watch_s=0.1)),))
    await scripted.report(lambda report: answers(report, 2))
    await until(lambda: previous_in_journal(agent) == [])
    worker(agent).kill()
    await scripted.report(lambda report: the_one(report).restarts == 1 and answers(report, 2))
    assert await ask(broker, 5) == [[5, 2]]
    assert the_one(scripted.reports[-1]).returned is None


async def test_content_that_cannot_be_loaded_is_gone_back_from_after_a_restart_too(
    scripted: ScriptedController, agent: AgentProcess, broker: BrokerAddress
) -> None:
    """A library that does not load leaves the old content answering, and so does the next agent."""
    await scripted.want(pipelines=(content(scripted, 1, health=None),))
    await scripted.report(lambda report: answers(report, 1))
    broken = content(scripted, 2, health=None).model_copy(
        update={"libraries": {"pipelib_who": scripted.blobs.put_bytes(b"import nowhere\n")}}
    )
    await scripted.want(pipelines=(broken,))
    status = the_one(await scripted.report(lambda report: went_back(report, 1, 2)))
    assert status.returned is not None
    assert "No module named 'nowhere'" in status.returned.reason
    agent.kill()
    agent.start()
    session = scripted.reports[-1].session_id
    await scripted.report(lambda report: report.session_id != session and went_back(report, 1, 2))
    assert await ask(broker, 5) == [[5, 1]]


async def test_another_name_for_the_same_content_disturbs_nothing(
    scripted: ScriptedController, agent: AgentProcess, broker: BrokerAddress
) -> None:
    """Only content_id and health differ: the same process answers on, and the report tells the new name."""
    first = content(scripted, 1)
    await scripted.want(pipelines=(first,))
    await scripted.report(lambda report: answers(report, 1))
    pid = worker(agent).pid
    await ask(broker, 1, 2, 3)
    before = the_one(await scripted.report(lambda report: the_one(report).answered == 3))
    await scripted.want(pipelines=(first.model_copy(update={"content_id": "renamed", "health": None}),))
    status = the_one(await scripted.report(lambda report: the_one(report).content_id == "renamed"))
    assert before.since_swap is not None
    assert status.since_swap is not None
    assert (status.since_swap.since, status.since_swap.answered) == (before.since_swap.since, 3)
    assert 0 < status.since_swap.p95_s < 60
    assert (status.restarts, worker(agent).pid) == (0, pid)


async def test_a_version_made_anew_under_its_number_is_loaded_anew(
    scripted: ScriptedController, agent: AgentProcess, broker: BrokerAddress
) -> None:
    """Its file stands where the old one stood; the worker does not take the one for the other."""
    await scripted.want(pipelines=(content(scripted, 1),))
    await scripted.report(lambda report: answers(report, 1))
    pid = worker(agent).pid
    anew = content(scripted, 1, wanted=model(scripted, 1, adding(7))).model_copy(update={"content_id": "anew"})
    await scripted.want(pipelines=(anew,))
    await scripted.report(lambda report: the_one(report).content_id == "anew")
    assert await ask(broker, 5) == [[5, 7]]
    assert worker(agent).pid == pid


@pytest.mark.usefixtures("agent")
async def test_all_replicas_go_back_together(scripted: ScriptedController, broker: BrokerAddress) -> None:
    """One of two workers ends: both answer with the old content again, and nothing is lost."""
    await scripted.want(pipelines=(content(scripted, 1, replicas=2),))
    await scripted.report(lambda report: answers(report, 1))
    await scripted.want(pipelines=(content(scripted, 2, more=CRASH, replicas=2),))
    await scripted.report(lambda report: answers(report, 2))
    told = await ask(broker, *range(40))
    assert [asked for asked, _ in told] == list(range(40))
    assert told[13] == [13, 1]
    status = the_one(await scripted.report(lambda report: went_back(report, 1, 2)))
    assert status.returned is not None
    assert "exit code 9" in status.returned.reason
    assert {version for _, version in await ask(broker, *range(20))} == {1}
