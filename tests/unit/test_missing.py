"""Attempts that an edge has lost although it is there."""

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest

from controller.runs.missing import missing
from controller.runs.steps import Run
from schemas.jobs import JobSpec
from schemas.report import Capabilities, Report, TaskState, TaskStatus
from schemas.runs import RunState

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
JOB = JobSpec.model_validate({"name": "retrain", "model": "iris", "edge": "press-1", "scripts": ["train.py"]})
RUN = Run(id=UUID(int=1), job=JOB, scheduled_at=NOW, created_at=NOW, state=RunState.RUNNING, edge="press-1", attempt=2)
WANTED = json.dumps({"runs": [{"run_id": str(RUN.id), "attempt": 2, "resume": True}]})


def report(generation: int, *attempts: int) -> Report:
    """What the edge says of itself: the manifest that it follows, and the attempts that it has."""
    return Report(
        edge="press-1",
        session_id="s",
        generation=generation,
        agent_version="0",
        started_at=NOW,
        capabilities=Capabilities(executors=("process",), cpus=1, memory_bytes=1, platform="linux-x86_64"),
        tasks=tuple(TaskStatus(run_id=RUN.id, attempt=number, state=TaskState.RUNNING) for number in attempts),
        disk_free_bytes=1,
        load=0.0,
    )


@pytest.mark.parametrize(
    ("said", "wanted", "lost"),
    [
        (report(7), WANTED, True),
        (report(7, 1), WANTED, True),
        (report(7, 2), WANTED, False),
        (report(6), WANTED, False),
        (report(7), WANTED.replace("true", "false"), False),
        (report(7), json.dumps({"runs": []}), False),
    ],
    ids=["wiped", "an earlier attempt", "has it", "older manifest", "not accepted yet", "not asked for"],
)
def test_an_attempt_is_missing_by_the_newest_manifest_only(said: Report, wanted: str, lost: bool) -> None:
    """Lost is what an edge does not have although it follows the manifest that asks it to go on with it."""
    assert missing([RUN], said, generation=7, wanted=wanted) == ([RUN] if lost else [])
