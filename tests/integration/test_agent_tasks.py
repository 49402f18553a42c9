"""A task from manifest to collected outputs, by a real agent process over a real broker."""

import hashlib
import json
from pathlib import Path

import pytest

from schemas.manifest import WantedRun
from schemas.report import TaskState
from schemas.runs import Accepted, Exited, Outcome, Preparing, Started
from tests.integration.agent_process import AgentProcess
from tests.integration.scripted_controller import MODEL, ScriptedController, until_there

pytestmark = pytest.mark.usefixtures("agent")

TRAIN = """
import json, os
rows = json.load(open(os.environ["collection_data_1_path"]))
print("training on", len(rows), "rows")
open(os.environ["model_file_path"], "w").write("model of %d rows" % len(rows))
open(os.environ["accuracy_path"], "w").write("0.9")
open(os.environ["additional_output_folder_path"] + "weights.bin", "w").write("w")
"""


async def test_a_run_ends_with_outputs_that_can_be_pulled(scripted: ScriptedController) -> None:
    """Rows and script go in; model, metric, additional output and log come out, told in order."""
    rows = {"index": 1, "blob": scripted.blobs.put_bytes(b'[{"x": 1}, {"x": 2}]'), "rows": 2}
    run = scripted.run(TRAIN, data=[rows], metrics=["accuracy"])
    await scripted.want(run)
    exited = await scripted.event(run, Exited)
    assert (exited.outcome, exited.reason) == (Outcome.OK, "")
    assert exited.outputs is not None
    assert exited.log is not None
    assert await scripted.pull(exited.outputs.model) == b"model of 2 rows"
    assert await scripted.pull(exited.outputs.additional["weights.bin"]) == b"w"
    assert await scripted.pull(exited.log) == b"training on 2 rows\n"
    assert exited.outputs.metrics == {"accuracy": 0.9}
    assert exited.log_tail == ("training on 2 rows",)
    told = scripted.told(run)
    assert [event.sequence for event in told] == list(range(1, len(told) + 1))
    assert [type(event.event) for event in told if not isinstance(event.event, Preparing)] == [
        Accepted,
        Started,
        Exited,
    ]
    await scripted.until(lambda: any("training on 2 rows" in batch.lines for batch in scripted.logs))


async def test_a_failing_script_ends_with_its_reason_and_its_last_lines(scripted: ScriptedController) -> None:
    """The reason names script and exit code, and the last fifty lines of the log come with it."""
    run = scripted.run("for i in range(80): print('line', i)\nraise SystemExit(3)")
    await scripted.want(run)
    exited = await scripted.event(run, Exited)
    assert (exited.outcome, exited.exit_code) == (Outcome.SCRIPT_FAILED, 3)
    assert exited.reason == "train.py ended with exit code 3"
    assert exited.log_tail == tuple(f"line {number}" for number in range(30, 80))
    assert exited.outputs is None


async def test_a_script_that_writes_no_model_is_refused(scripted: ScriptedController) -> None:
    """Ending with 0 is not enough (defect 15)."""
    run = scripted.run("pass")
    await scripted.want(run)
    exited = await scripted.event(run, Exited)
    assert exited.outcome is Outcome.OUTPUT_REFUSED
    assert "nothing was written to model_file_path" in exited.reason


async def test_an_input_that_nobody_holds_fails_the_preparation(scripted: ScriptedController) -> None:
    """The reason names the input, and the scripts never start (defect 10)."""
    lost = {"index": 1, "blob": {"digest": f"sha256:{'0' * 64}", "size_bytes": 3}, "rows": 1}
    run = scripted.run(MODEL, data=[lost])
    await scripted.want(run)
    exited = await scripted.event(run, Exited)
    assert exited.outcome is Outcome.PREPARE_FAILED
    assert "the input collection_data_1.json cannot be had" in exited.reason
    assert not any(isinstance(told.event, Started) for told in scripted.told(run))


async def test_scripts_start_when_all_of_their_data_is_here(scripted: ScriptedController) -> None:
    """While rows are on their way, or nobody sends them, no script starts; then it finds them all (defect 10)."""
    rows = json.dumps([{"x": "wear" * 250, "n": number} for number in range(4000)]).encode()
    script = f"""
import hashlib, os
data = open(os.environ["collection_data_1_path"], "rb").read()
assert hashlib.sha256(data).hexdigest() == {hashlib.sha256(rows).hexdigest()!r}, len(data)
{MODEL}"""
    run = scripted.run(script, data=[{"index": 1, "blob": scripted.blobs.put_bytes(rows), "rows": 4000}])
    await scripted.send_no_blobs()
    scripted.send_blobs(rate_bytes_s=1_000_000)
    await scripted.want(run)
    await scripted.until(lambda: any("fetching" in note for note in notes(scripted, run)))
    await scripted.send_no_blobs()
    later = len(scripted.reports) + 2
    await scripted.until(lambda: len(scripted.reports) >= later)
    assert [task.state for task in scripted.reports[-1].tasks] == [TaskState.PREPARING]
    assert not any(isinstance(told.event, Started) for told in scripted.told(run))
    scripted.send_blobs()
    exited = await scripted.event(run, Exited)
    assert (exited.outcome, exited.log_tail) == (Outcome.OK, ())


def notes(scripted: ScriptedController, run: WantedRun) -> list[str]:
    """What was told of a preparation."""
    return [told.event.note for told in scripted.told(run) if isinstance(told.event, Preparing)]


async def test_inputs_larger_than_the_disk_are_refused_before_they_are_fetched(scripted: ScriptedController) -> None:
    """A task that cannot fit says how much it needs and how much there is."""
    huge = {"index": 1, "blob": {"digest": f"sha256:{'0' * 64}", "size_bytes": 10**15}, "rows": 1}
    run = scripted.run(MODEL, data=[huge])
    await scripted.want(run)
    exited = await scripted.event(run, Exited)
    assert exited.outcome is Outcome.OUT_OF_DISK
    assert "not enough disk" in exited.reason


async def test_a_task_that_takes_too_long_times_out(scripted: ScriptedController) -> None:
    """At its timeout the scripts are stopped, and the outcome says so (defect 17)."""
    run = scripted.run("import time; time.sleep(600)", limits={"timeout_s": 1})
    await scripted.want(run)
    exited = await scripted.event(run, Exited)
    assert exited.outcome is Outcome.TIMED_OUT
    assert exited.reason == "still running after 1 s (limits.timeout_s)"


async def test_more_tasks_than_fit_wait_and_say_so(scripted: ScriptedController, tmp_path: Path) -> None:
    """With one slot the second task waits, with its reason in the report, until the first has ended."""
    go = tmp_path / "go"
    first, second = scripted.run(until_there(go) + MODEL), scripted.run(MODEL)
    await scripted.want(first, second)
    await scripted.event(first, Started)
    report = await scripted.report(
        lambda report: [task.state for task in report.tasks] == [TaskState.RUNNING, TaskState.ACCEPTED]
    )
    assert report.tasks[1].reason == "waits until another task has ended (max_tasks = 1)"
    go.touch()
    assert (await scripted.event(second, Exited)).outcome is Outcome.OK


async def test_a_cancelled_task_ends_within_ten_seconds(
    scripted: ScriptedController, agent: AgentProcess, tmp_path: Path
) -> None:
    """A run gone from the manifest is stopped, even if its script ignores SIGTERM, and nothing of it stays."""
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    run = scripted.run(stubborn + until_there(tmp_path / "never"))
    await scripted.want(run)
    await scripted.event(run, Started)
    await scripted.want()
    await scripted.report(lambda report: report.generation == 2 and not report.tasks, timeout_s=10)
    assert agent.task_processes() == []
    assert list((agent.data_dir / "tasks").iterdir()) == []


async def test_a_stale_attempt_is_refused(scripted: ScriptedController) -> None:
    """An attempt below one that was taken before never starts here."""
    newer = scripted.run(MODEL, attempt=2)
    await scripted.want(newer)
    await scripted.event(newer, Exited)
    older = newer.model_copy(update={"attempt": 1})
    await scripted.want(older)
    await scripted.report(lambda report: report.generation == 2 and not report.tasks)
    assert scripted.told(older) == []
