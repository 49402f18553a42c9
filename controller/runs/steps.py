"""A run as the state machine sees it, what can happen to it (events), and what must then be done (effects)."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from schemas.jobs import JobSpec
from schemas.models import DataSelection
from schemas.names import BlobRef
from schemas.runs import EdgeEvent, Exited, RunState, RunTrigger, Started


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as the machine sees it; ``revision`` is the store's."""

    # What it was queued with, and what no step changes.
    id: UUID
    job: JobSpec
    trigger: RunTrigger = "manual"
    full: bool = False  # all rows, also for queries that ask for new ones only
    replays: UUID | None = None  # the run whose frozen data it trains on again
    priority: int = 0
    scheduled_at: datetime
    created_at: datetime
    # How far it is.
    state: RunState
    edge: str  # of the present or the last attempt; empty until one is chosen
    revision: int = 0
    admitted: bool = False  # its turn among the runs of its job has come
    not_before: datetime | None = None  # jitter, or the pause before a retry
    reason: str = ""
    deadline: datetime | None = None
    attempt: int = 0
    last_sequence: int = 0
    data: tuple[DataSelection, ...] = ()
    holdout: DataSelection | None = None
    task: BlobRef | None = None
    secrets: BlobRef | None = None  # of the present attempt, sealed for its edge
    base_version: int | None = None
    base_model: str | None = None  # as name:version
    started: Started | None = None
    started_at: datetime | None = None
    exited: Exited | None = None
    ended_at: datetime | None = None
    model: str = ""  # in which it made a version
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Admitted:
    """Its turn among the runs of its job has come."""


@dataclass(frozen=True, slots=True)
class Selected:
    """The rows are frozen, and the task is written down."""

    data: tuple[DataSelection, ...]
    task: BlobRef
    base_version: int | None
    base_model: str | None = None  # as name:version
    holdout: DataSelection | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """It was due but is not done: no new data, too few rows, an earlier run still live."""

    reason: str


@dataclass(frozen=True, slots=True)
class Dispatched:
    """A new attempt goes into an edge's manifest."""

    attempt: int  # the new one's number
    edge: str
    secrets: BlobRef | None = None  # sealed for this edge and this attempt


@dataclass(frozen=True, slots=True)
class Found:
    """The edge is back after its lease ended, and still has the attempt: its result counts as if nothing had been."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Gone:
    """The edge is there and no longer has the attempt, or what the attempt made."""

    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class Waits:
    """It cannot go on yet; the reason is for people."""

    reason: str


@dataclass(frozen=True, slots=True)
class EdgeSaid:
    """The edge told something of an attempt."""

    attempt: int
    sequence: int
    event: EdgeEvent


@dataclass(frozen=True, slots=True)
class Fetched:
    """Everything that the attempt left on its edge is held here."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Registered:
    """The model is checked, and a version in this very transaction."""

    attempt: int
    model: str
    version: int
    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """Selecting, fetching or checking went wrong for good."""

    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """Somebody does not want it any more."""

    reason: str


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """A state took too long."""

    deadline: datetime  # which one: the run may have moved on meanwhile


@dataclass(frozen=True, slots=True)
class LeaseEnded:
    """The edge was silent for longer than the job allows."""

    attempt: int
    silent_s: float


Event = (
    Admitted
    | Selected
    | Refused
    | Dispatched
    | Found
    | Gone
    | Waits
    | EdgeSaid
    | Fetched
    | Registered
    | Failed
    | CancelAsked
    | DeadlinePassed
    | LeaseEnded
)


@dataclass(frozen=True, slots=True)
class TakeTurn:
    """See whether its turn among the runs of its job has come."""


@dataclass(frozen=True, slots=True)
class SelectData:
    """Run the job's queries and write the task down."""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Put the run into an edge's manifest when one is there and has room."""


@dataclass(frozen=True, slots=True)
class FetchOutputs:
    """Pull what the attempt made, and its log, from its edge."""


@dataclass(frozen=True, slots=True)
class RegisterModel:
    """Check the model and make it a version."""


Effect = TakeTurn | SelectData | Dispatch | FetchOutputs | RegisterModel
