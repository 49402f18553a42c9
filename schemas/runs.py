"""A run as both sides speak of it: its states, what an edge tells of it, and its log."""

from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from schemas.names import BlobRef, FileTree, Identifier
from schemas.wire import Wire


class RunState(StrEnum):
    """Where a run is in its life."""

    QUEUED = "queued"  #: its data is selected, then it waits for its edge
    DISPATCHED = "dispatched"  #: in its edge's manifest, not yet accepted
    PREPARING = "preparing"  #: the edge fetches inputs and makes the environment
    RUNNING = "running"  #: its scripts run
    UPLOADING = "uploading"  #: the scripts ended well; the controller pulls what they made
    CHECKING = "checking"  #: everything is here; the model is checked and registered
    SUCCEEDED = "succeeded"  #: a model version came of it
    SKIPPED = "skipped"  #: due, but refused: no new data, too few rows, an earlier run still live
    FAILED = "failed"  #: a script or a check failed
    CANCELLED = "cancelled"  #: somebody asked
    TIMED_OUT = "timed_out"  #: a deadline passed
    LOST = "lost"  #: its edge was silent too long, and no attempt is left


LIVE = frozenset(
    {
        RunState.QUEUED,
        RunState.DISPATCHED,
        RunState.PREPARING,
        RunState.RUNNING,
        RunState.UPLOADING,
        RunState.CHECKING,
    }
)
"""The states from which a run still goes on."""

ON_EDGE = LIVE - {RunState.QUEUED}
"""The states in which a run stands in its edge's manifest: the edge keeps its results until they are registered."""


RunTrigger = Literal["schedule", "data", "manual", "retry", "reproduction"]
"""What queued a run: its timer, one of its data triggers, or a person, who may want it once more."""


class Outcome(StrEnum):
    """How a task ended on its edge."""

    OK = "ok"  #: all scripts ended with 0 and every declared output is there
    SCRIPT_FAILED = "script_failed"  #: a script ended with another code
    OUTPUT_REFUSED = "output_refused"  #: model or metric missing, a link, too large
    PREPARE_FAILED = "prepare_failed"  #: inputs or environment could not be made ready
    OUT_OF_DISK = "out_of_disk"  #: the edge has not the disk that it takes; may be better later
    TIMED_OUT = "timed_out"  #: the task's wall time is over
    LOST = "lost"  #: its process or container vanished while the agent was away


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Accepted(_Event):
    """The task is in the edge's journal."""

    kind: Literal["accepted"] = "accepted"


class Preparing(_Event):
    """Inputs are fetched or the environment is made; may come several times."""

    kind: Literal["preparing"] = "preparing"
    note: str


class Started(_Event):
    """The first script starts."""

    kind: Literal["started"] = "started"
    executor: str
    image: str = ""  # as configured; empty for the process executor
    image_digest: str = ""
    environment: str = ""  # key of the cached environment
    environment_cached: bool = False
    installer: str = ""  # uv or pip, when the environment was made for it


class Outputs(_Event):
    """What the scripts made, by digest; the edge keeps the bytes until the run has ended."""

    model: BlobRef
    metrics: dict[Identifier, float] = {}  # the declared ones, and those that the scripts wrote to metrics_path
    additional: FileTree = {}


class Usage(_Event):
    """What a task took; what could not be measured is None."""

    cpu_s: NonNegativeFloat | None = None
    memory_peak_bytes: NonNegativeInt | None = None
    energy_kwh: NonNegativeFloat | None = None
    co2e_kg: NonNegativeFloat | None = None
    fetched_bytes: NonNegativeInt = 0  # inputs that came over the wire
    cached_bytes: NonNegativeInt = 0  # inputs that were here already


class Exited(_Event):
    """The task is over."""

    kind: Literal["exited"] = "exited"
    outcome: Outcome
    reason: str = ""
    exit_code: int | None = None
    script_s: NonNegativeFloat = 0.0  # wall time of the scripts alone
    outputs: Outputs | None = None  # with Outcome.OK
    log: BlobRef | None = None  # the whole log, capped in the middle
    log_tail: tuple[str, ...] = ()
    progress: BlobRef | None = None  # the whole of progress_path, capped
    usage: Usage = Usage()


EdgeEvent = Annotated[Accepted | Preparing | Started | Exited, Field(discriminator="kind")]


class RunEvent(Wire):
    """Edge → controller; kept and sent again by the edge until acknowledged."""

    run_id: UUID
    attempt: PositiveInt
    sequence: PositiveInt  # 1, 2, 3 … within the attempt; repeats are dropped by it
    event: EdgeEvent


class RunAck(Wire):
    """Controller → edge: every event of this attempt up to ``sequence`` is saved."""

    run_id: UUID
    attempt: PositiveInt
    sequence: PositiveInt


class LogBatch(Wire):
    """Edge → controller: lines of a task's log, or of its progress, as they come.

    The blobs told at the end fill the gap of a lost batch.
    """

    run_id: UUID
    attempt: PositiveInt
    first_line: NonNegativeInt  # number of the batch's first line within the attempt, from 0
    lines: tuple[str, ...]
