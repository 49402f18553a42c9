"""The life of one task on its edge. Pure: what the journal holds, and how each event changes it.

ACCEPTED ─Noted▶ PREPARING ─Launching▶ RUNNING ─Launched─▶ RUNNING ─Ended▶ FINISHED
                     │                    └─Condemned─▶ RUNNING (its outcome is decided, its scripts are being stopped)
                     └─Ended(prepare_failed)▶ FINISHED
   any state ─Unwanted▶ STOPPING ─▶ forgotten

``Launching`` is saved before the scripts start, ``Launched`` after: a task found between the two may or may not have
begun, so the executor is asked, and a task that it does not know is lost rather than started again.
"""

from dataclasses import dataclass, field
from enum import Enum, auto

from pydantic import AwareDatetime, BaseModel, ConfigDict, NonNegativeInt

from edge_agent.execution.executor import TaskKey
from schemas.errors import InvalidTransition
from schemas.names import BlobRef
from schemas.report import TaskState
from schemas.runs import Accepted, EdgeEvent, Exited, Outcome, Preparing, Started, Usage

NOTES_KEPT = 200  # Preparing events of one attempt; later notes show in the report alone


class Task(BaseModel):
    """One attempt as the journal holds it."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    key: TaskKey
    spec: BlobRef
    secrets: BlobRef | None = None  # sealed
    state: TaskState = TaskState.ACCEPTED
    reason: str = ""  # what it is doing, or waiting for
    launch: Started | None = None  # saved before the scripts start, told after
    launched_at: AwareDatetime | None = None  # wall clock, so that the timeout survives a restart of the agent
    usage: Usage = Usage()  # as far as it was known before the scripts started
    handle: str | None = None  # the executor's reference, once known
    verdict: Outcome | None = None  # decided before its scripts ended: timed out, or ended with the agent
    verdict_reason: str = ""
    exited: Exited | None = None
    notes: NonNegativeInt = 0
    sequence: NonNegativeInt = 0  # of the last event told


@dataclass(frozen=True, slots=True)
class Noted:
    """Preparation has come to this point."""

    note: str


@dataclass(frozen=True, slots=True)
class Launching:
    """Everything is ready; the next thing is to start the scripts."""

    started: Started
    at: AwareDatetime
    usage: Usage = field(default_factory=Usage)  # of the preparation


@dataclass(frozen=True, slots=True)
class Launched:
    """The executor has the task."""

    ref: str


@dataclass(frozen=True, slots=True)
class Condemned:
    """It was decided how the task ends before its scripts did."""

    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing of it runs any more, and what it made is stored."""

    exited: Exited


@dataclass(frozen=True, slots=True)
class Unwanted:
    """The manifest no longer names this attempt."""


TaskEvent = Noted | Launching | Launched | Condemned | Ended | Unwanted


class Step(Enum):
    """What must be done next for a task; derived from the saved state alone, so that a restart does the same."""

    PREPARE = auto()  #: fetch inputs, make the environment, start
    FIND = auto()  #: ask the executor whether its scripts were started
    WATCH = auto()  #: wait for its scripts, then collect
    CLEAN_UP = auto()  #: remove container, process records and folder
    END = auto()  #: stop it and forget it


def accept(key: TaskKey, spec: BlobRef, secrets: BlobRef | None = None) -> tuple[Task, tuple[EdgeEvent, ...]]:
    """A new task, and what to tell of it."""
    return Task(key=key, spec=spec, secrets=secrets), (Accepted(),)


def advance(task: Task, event: TaskEvent) -> tuple[Task, tuple[EdgeEvent, ...]]:
    """Apply one event: the task as it is now, and what to tell the controller.

    Raises:
        InvalidTransition: a bug, the event makes no sense in the task's state.
    """
    match task.state, event:
        case _, Unwanted():
            return _with(task, state=TaskState.STOPPING, reason="no longer wanted"), ()
        case TaskState.ACCEPTED | TaskState.PREPARING, Noted(note):
            return _noted(task, note)
        case TaskState.PREPARING, Launching(started, at, usage):
            launch = {"launch": started, "launched_at": at, "usage": usage}
            return _with(task, state=TaskState.RUNNING, reason="starting", **launch), ()
        case TaskState.RUNNING, Launched(ref):
            told = (task.launch,) if task.handle is None and task.launch is not None else ()
            return _with(task, handle=ref, reason=""), told
        case TaskState.RUNNING, Condemned(outcome, reason):
            if task.verdict is not None:
                return task, ()
            return _with(task, verdict=outcome, verdict_reason=reason, reason=reason), ()
        case TaskState.ACCEPTED | TaskState.PREPARING | TaskState.RUNNING, Ended(exited):
            return _with(task, state=TaskState.FINISHED, reason=exited.reason, exited=exited), (exited,)
    raise InvalidTransition(f"task {task.key}: {event} while {task.state}")


def pending(task: Task) -> Step:
    """What must be done next for it."""
    match task.state:
        case TaskState.ACCEPTED | TaskState.PREPARING:
            return Step.PREPARE
        case TaskState.RUNNING:
            return Step.FIND if task.handle is None else Step.WATCH
        case TaskState.FINISHED:
            return Step.CLEAN_UP
        case TaskState.STOPPING:
            return Step.END


def _noted(task: Task, note: str) -> tuple[Task, tuple[EdgeEvent, ...]]:
    if task.state is TaskState.PREPARING and task.reason == note:
        return task, ()
    told = task.notes < NOTES_KEPT
    after = _with(task, state=TaskState.PREPARING, reason=note, notes=task.notes + told)
    return after, (Preparing(note=note),) if told else ()


def _with(task: Task, **changes: object) -> Task:
    return task.model_copy(update=changes)
