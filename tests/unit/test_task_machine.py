"""A task's life and what the manifest means for it, decided without any I/O."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.execution.executor import ExitResult, TaskKey
from edge_agent.tasks.outcomes import judge
from edge_agent.tasks.reconcile import AcceptTask, EndTask, RefuseTask, steps
from edge_agent.tasks.task_machine import (
    NOTES_KEPT,
    Condemned,
    Ended,
    Launched,
    Launching,
    Noted,
    Step,
    Task,
    TaskEvent,
    Unwanted,
    accept,
    advance,
    pending,
)
from schemas.errors import InvalidTransition
from schemas.jobs import Limits
from schemas.manifest import Manifest, WantedRun
from schemas.names import BlobRef
from schemas.report import TaskState
from schemas.runs import Accepted, EdgeEvent, Exited, Outcome, Preparing, Started

SPEC = BlobRef(digest=f"sha256:{'0' * 64}", size_bytes=1)
KEY = TaskKey(UUID(int=1), 1)
STARTED = Started(executor="process")
LAUNCHING = Launching(STARTED, datetime(2026, 1, 1, tzinfo=UTC))
EXITED = Exited(outcome=Outcome.OK)


def lived(*events: TaskEvent) -> tuple[Task, list[EdgeEvent]]:
    """A new task after these events, and everything told of it."""
    task, told = accept(KEY, SPEC)
    everything = list(told)
    for event in events:
        task, told = advance(task, event)
        everything += told
    return task, everything


def test_a_whole_life_is_told_in_order() -> None:
    """Acceptance, each new note, one start and one end are told; nothing else."""
    task, told = lived(Noted("a"), Noted("a"), Noted("b"), LAUNCHING, Launched("7"), Ended(EXITED))
    assert told == [Accepted(), Preparing(note="a"), Preparing(note="b"), STARTED, EXITED]
    assert task.state is TaskState.FINISHED
    assert pending(task) is Step.CLEAN_UP


@pytest.mark.parametrize(
    ("events", "step"),
    [
        ((), Step.PREPARE),
        ((Noted("a"),), Step.PREPARE),
        ((Noted("a"), LAUNCHING), Step.FIND),
        ((Noted("a"), LAUNCHING, Launched("7")), Step.WATCH),
        ((Noted("a"), LAUNCHING, Launched("7"), Condemned(Outcome.TIMED_OUT, "late")), Step.WATCH),
        ((Noted("a"), LAUNCHING, Unwanted()), Step.END),
    ],
)
def test_a_restart_does_what_was_pending(events: Sequence[TaskEvent], step: Step) -> None:
    """What comes next follows from the saved state; scripts that may have started are looked for, not started."""
    assert pending(lived(*events)[0]) is step


def test_a_start_found_again_is_told_once() -> None:
    """An agent that finds its task a second time does not tell of a second start."""
    _, told = lived(Noted("a"), LAUNCHING, Launched("7"), Launched("7"))
    assert told.count(STARTED) == 1


def test_the_first_verdict_stands() -> None:
    """A task that timed out stays timed out, however its scripts end after that."""
    task, _ = lived(
        Noted("a"),
        LAUNCHING,
        Launched("7"),
        Condemned(Outcome.TIMED_OUT, "late"),
        Condemned(Outcome.LOST, "ended with the agent"),
    )
    result = ExitResult(exit_code=0, script="train.py", script_s=1.0)
    assert judge(task, result, Limits()) == (Outcome.TIMED_OUT, "late")


def test_notes_without_end_are_not_told_without_end() -> None:
    """A preparation that keeps waiting cannot fill the outbox; its latest note still shows."""
    task, told = lived(*(Noted(str(number)) for number in range(NOTES_KEPT + 50)))
    assert len(told) == NOTES_KEPT + 1
    assert task.reason == str(NOTES_KEPT + 49)


@given(
    st.lists(
        st.sampled_from(
            [Noted("a"), LAUNCHING, Launched("7"), Condemned(Outcome.TIMED_OUT, "late"), Ended(EXITED), Unwanted()]
        ),
        max_size=12,
    )
)
def test_no_order_of_events_tells_two_ends_or_two_starts(events: list[TaskEvent]) -> None:
    """Whatever happens in whatever order, a task is started at most once, ends at most once, and nothing follows."""
    task, told = accept(KEY, SPEC)
    everything = list(told)
    for event in events:
        try:
            task, told = advance(task, event)
        except InvalidTransition:
            continue
        everything += told
    assert everything.count(STARTED) <= 1
    assert everything.count(EXITED) <= 1
    assert EXITED not in everything[:-1]


@pytest.mark.parametrize(
    ("result", "outcome", "reason"),
    [
        (ExitResult(0, "train.py", 1.0), Outcome.OK, ""),
        (ExitResult(3, "train.py", 1.0), Outcome.SCRIPT_FAILED, "train.py ended with exit code 3"),
        (ExitResult(-9, "train.py", 1.0), Outcome.SCRIPT_FAILED, "train.py ended by signal SIGKILL (exit code -9)"),
        (ExitResult(139, "train.py", 1.0), Outcome.SCRIPT_FAILED, "train.py ended by signal SIGSEGV (exit code 139)"),
        (
            ExitResult(137, "train.py", 1.0, passed="memory_mb"),
            Outcome.SCRIPT_FAILED,
            "train.py was ended because it took more than limits.memory_mb = 64",
        ),
        (
            ExitResult(137, "train.py", 1.0, passed="timeout_s"),
            Outcome.TIMED_OUT,
            "still running after 3600 s (limits.timeout_s)",
        ),
        (
            ExitResult(137, "train.py", 1.0, passed="disk_reserve_mb"),
            Outcome.OUT_OF_DISK,
            "train.py was ended because the disk of this machine was nearly full "
            "(disk_reserve_mb in its agent's configuration)",
        ),
    ],
)
def test_an_end_is_judged_and_its_reason_says_why(result: ExitResult, outcome: Outcome, reason: str) -> None:
    """The reason names the script and how it ended."""
    assert judge(lived()[0], result, Limits(memory_mb=64)) == (outcome, reason)


def test_scripts_that_vanished_are_lost() -> None:
    """A task without a result is lost: nobody knows how far it came."""
    assert judge(lived()[0], None, Limits())[0] is Outcome.LOST


def wanted(run_id: UUID, attempt: int) -> WantedRun:
    """A run as a manifest names it."""
    return WantedRun(run_id=run_id, attempt=attempt, spec=SPEC)


def manifest(*runs: WantedRun) -> Manifest:
    """A manifest that wants these runs."""
    return Manifest(edge="press-1", generation=1, runs=runs)


def test_reconciling_ends_accepts_and_refuses() -> None:
    """What is not wanted ends first, what is new is accepted, and an attempt that was passed is refused."""
    gone, new, old = TaskKey(uuid4(), 1), wanted(uuid4(), 1), wanted(uuid4(), 2)
    plan = steps(manifest(new, old), [gone], {old.run_id: 2})
    assert plan == [EndTask(gone), AcceptTask(new), RefuseTask(old, 2)]


def test_a_higher_attempt_replaces_the_one_before() -> None:
    """A new attempt of a run ends the one before and is accepted."""
    run_id = uuid4()
    plan = steps(manifest(wanted(run_id, 2)), [TaskKey(run_id, 1)], {run_id: 1})
    assert plan == [EndTask(TaskKey(run_id, 1)), AcceptTask(wanted(run_id, 2))]


def test_nothing_is_done_when_both_agree() -> None:
    """Reconciling again changes nothing."""
    run_id = uuid4()
    assert steps(manifest(wanted(run_id, 1)), [TaskKey(run_id, 1)], {run_id: 1}) == []


def test_of_two_attempts_in_one_manifest_the_higher_counts() -> None:
    """A manifest that names a run twice cannot have it run twice."""
    run_id = uuid4()
    assert steps(manifest(wanted(run_id, 3), wanted(run_id, 2)), [], {}) == [AcceptTask(wanted(run_id, 3))]


def test_what_can_only_be_resumed_is_never_started() -> None:
    """An edge that lost its journal does not run an attempt twice; one that still has the task goes on with it."""
    given_up = wanted(uuid4(), 1).model_copy(update={"resume": True})
    assert steps(manifest(given_up), [], {}) == []
    assert steps(manifest(given_up), [TaskKey(given_up.run_id, 1)], {given_up.run_id: 1}) == []
