"""No model serves on an edge that was not tried there: its bytes, its loading, its answers, and room for it."""

import os
import re
from pathlib import Path

import pytest

from edge_agent.shelf.model_trial import Trial, try_model
from schemas.broker import BrokerAddress
from schemas.errors import TimedOut, Unfit
from schemas.manifest import WantedModel
from schemas.report import ModelState, ModelStatus, PipelineState, Report
from tests.integration.agent_process import AgentProcess
from tests.integration.returning_bench import answers, ask, content, model, sample, the_one, went_back
from tests.integration.scripted_controller import ScriptedController
from tests.integration.test_agent_deployments import adding

BAD = {
    "another answer": "output 'y' is not what was recorded when it was registered: 1 of 2 values differ; one is 4.0, "
    "and was 4.5, where 0.00455 is allowed",
    "not a number": "2 of 2 values differ; one is nan, and was 3.0",
    "no model": "model.onnx cannot be loaded as an ONNX model",
}


def bad_model(scripted: ScriptedController, what: str) -> WantedModel:
    """Version 2 of the model, wrong in this way."""
    if what == "no model":
        return model(scripted, 2, b"no model")
    if what == "not a number":
        return model(scripted, 2, adding(float("nan")), sample(scripted, [1, 2], [3, 4]))
    return model(scripted, 2, None, sample(scripted, [1, 2], [3, 4.5]))


def told(report: Report, state: ModelState) -> ModelStatus | None:
    """The first wanted model in that state."""
    return next((model for model in report.models if model.state is state), None)


@pytest.mark.parametrize("what", ["another answer", "not a number", "no model"])
async def test_a_model_that_is_not_as_it_was_registered_never_serves(
    scripted: ScriptedController, agent: AgentProcess, broker: BrokerAddress, what: str
) -> None:
    """It is failed with what is off, no worker gets it, and the old content goes on and says so (defect 29)."""
    await scripted.want(pipelines=(content(scripted, 1),))
    await scripted.report(lambda report: answers(report, 1))
    bad = bad_model(scripted, what)
    await scripted.want(models=(bad,), pipelines=(content(scripted, 2, wanted=bad),))
    report = await scripted.report(
        lambda report: told(report, ModelState.FAILED) is not None and went_back(report, 1, 2)
    )
    status, returned = told(report, ModelState.FAILED), the_one(report).returned
    assert status is not None
    assert returned is not None
    assert BAD[what] in status.reason
    assert BAD[what] in returned.reason
    assert the_one(report).state is PipelineState.DEGRADED
    assert await ask(broker, 5) == [[5, 1]]
    agent.kill()
    agent.start()
    session = scripted.reports[-1].session_id
    report = await scripted.report(lambda report: report.session_id != session and went_back(report, 1, 2))
    assert the_one(report).restarts == 0


async def test_a_model_is_tried_once(scripted: ScriptedController, agent: AgentProcess) -> None:
    """Its sample is asked before it is ready; an agent that is started again finds that noted."""
    await scripted.want(models=(model(scripted, 1, None, sample(scripted, [1, 2], [2, 3])),))
    await scripted.report(lambda report: told(report, ModelState.READY) is not None)
    mark = agent.data_dir / "models/add/1/.tried"
    noted = mark.stat()
    agent.kill()
    agent.start()
    session = scripted.reports[-1].session_id
    await scripted.report(lambda report: report.session_id != session and told(report, ModelState.READY) is not None)
    assert (mark.stat().st_ino, mark.stat().st_mtime_ns) == (noted.st_ino, noted.st_mtime_ns)


async def test_a_file_that_was_damaged_on_the_disk_is_fetched_anew(
    scripted: ScriptedController, agent: AgentProcess
) -> None:
    """Bytes that are not what their digest says never serve, though they were whole when they came."""
    wanted = model(scripted, 1)
    agent.kill()
    good = adding(1)
    digest = scripted.blobs.put_bytes(good).digest.removeprefix("sha256:")
    place = agent.data_dir / "blobs" / digest[:2] / digest
    place.parent.mkdir(parents=True)
    place.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    agent.start()
    await scripted.want(models=(wanted,), pipelines=(content(scripted, 1, wanted=wanted),))
    report = await scripted.report(lambda report: told(report, ModelState.READY) is not None and answers(report, 1))
    reasons = [model.reason for report in scripted.reports for model in report.models]
    reasons += [pipeline.reason for report in scripted.reports for pipeline in report.pipelines]
    assert any("add:1: model.onnx was damaged on this machine's disk" in reason for reason in reasons)
    assert told(report, ModelState.READY) is not None
    assert (agent.data_dir / "models/add/1/model.onnx").read_bytes() == good


async def test_what_does_not_fit_on_the_disk_is_not_begun_with(
    scripted: ScriptedController, agent: AgentProcess, broker: BrokerAddress
) -> None:
    """Nothing of it is fetched, the reason says how much is needed and is there, and the old content goes on."""
    await scripted.want(pipelines=(content(scripted, 1),))
    await scripted.report(lambda report: answers(report, 1))
    agent.kill()
    agent.config.write_text("disk_reserve_mb = 1000000000\n" + agent.config.read_text())
    agent.start()
    new = model(scripted, 2)
    await scripted.want(models=(new,), pipelines=(content(scripted, 2, wanted=new),))
    report = await scripted.report(
        lambda report: (
            told(report, ModelState.FAILED) is not None
            and answers(report, 1)
            and the_one(report).state is PipelineState.DEGRADED
        )
    )
    status = told(report, ModelState.FAILED)
    assert status is not None
    for reason in (status.reason, the_one(report).reason):
        assert re.search(r"not enough disk: needs 0\.\d kB, has [\d.]+ .B free, keeps 1048576\.0 GB in reserve", reason)
    assert the_one(report).returned is None  # there may be room later
    digest = scripted.blobs.put_bytes(adding(2)).digest.removeprefix("sha256:")
    assert not (agent.data_dir / "blobs" / digest[:2] / digest).exists()
    assert await ask(broker, 5) == [[5, 1]]


def laid_out(folder: Path, file: bytes) -> Trial:
    """A version in a folder, with whatever digest."""
    (folder / "model.onnx").write_bytes(file)
    return Trial(folder=folder, files={})


async def test_a_trial_that_takes_too_long_or_too_much_is_ended(tmp_path: Path) -> None:
    """A model has its time and its memory for that; the first may be the machine's fault, the second is not."""
    trial = laid_out(tmp_path, adding(1))
    assert await try_model(trial) == ()
    os.mkfifo(tmp_path / "weights")  # reading it takes for ever
    waiting = trial.model_copy(update={"files": {"weights": f"sha256:{'0' * 64}"}})
    with pytest.raises(TimedOut, match=r"trying the model took more than 0\.5 s"):
        await try_model(waiting, timeout_s=0.5)
    with pytest.raises(Unfit, match=r"trying it was ended: it took \d+ MB of memory, and may take 0 MB here"):
        await try_model(waiting, memory_share=0.0)
