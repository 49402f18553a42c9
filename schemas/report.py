"""The one document by which an edge tells what is."""

from enum import StrEnum
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt, PositiveInt

from schemas.names import EdgeName, ModelRef, Name
from schemas.pipelines import NodeFigures
from schemas.wire import Wire


class ModelState(StrEnum):
    """How far a wanted model is on an edge."""

    FETCHING = "fetching"  #: its files are on their way
    READY = "ready"  #: every file is held and verified by digest; it loads, and answers its sample as it should
    FAILED = "failed"  #: the reason says why


class PipelineState(StrEnum):
    """How a wanted pipeline does on an edge."""

    IDLE = "idle"  #: paused by a person; the broker keeps its messages
    STARTING = "starting"  #: fetching, compiling, loading, subscribing
    LISTENING = "listening"  #: takes messages
    DEGRADED = "degraded"  #: takes messages, but the wanted version or model could not be loaded
    FAILED = "failed"  #: its worker ended; it is started again after a pause


class TaskState(StrEnum):
    """How far a task is, as its edge sees it."""

    ACCEPTED = "accepted"  #: noted in the journal
    PREPARING = "preparing"  #: fetching inputs, making the environment
    RUNNING = "running"  #: its scripts run
    FINISHED = "finished"  #: outputs are kept until the controller has them
    STOPPING = "stopping"  #: no longer wanted


class _Status(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ModelStatus(_Status):
    """One wanted model."""

    name: Name
    version: PositiveInt
    state: ModelState
    reason: str = ""


class SinceSwap(_Status):
    """How the content that answers now has done since it was swapped in, or since its worker began."""

    since: AwareDatetime
    answered: NonNegativeInt = 0
    failed: NonNegativeInt = 0
    p95_s: NonNegativeFloat = 0.0  # of a message's way through the pipeline; at most a quarter more than the true value


class Returned(_Status):
    """An edge went back by itself: which content did not do, and why."""

    content_id: str
    version: PositiveInt  # of the pipeline
    models: dict[ModelRef, PositiveInt] = {}
    reason: str
    at: AwareDatetime


class PipelineStatus(_Status):
    """One wanted pipeline: what it runs now, which may lag behind what is wanted."""

    name: Name
    version: PositiveInt
    state: PipelineState
    reason: str = ""
    since: AwareDatetime | None = None  # when it came into this state
    failed_at: AwareDatetime | None = None  # when a message failed last, of what answers now
    content_id: str = ""  # of what answers now, as the manifest named it
    returned: Returned | None = None  # from what is wanted, or was until the manifest changed
    since_swap: SinceSwap | None = None  # None: nothing answers
    models: dict[ModelRef, PositiveInt] = {}  # the versions that answer now
    received: NonNegativeInt = 0
    answered: NonNegativeInt = 0
    failed: NonNegativeInt = 0
    dropped: NonNegativeInt = 0  # for want of room, or too large
    nodes: dict[str, NodeFigures] = {}  # since the worker began
    restarts: NonNegativeInt = 0


class TaskStatus(_Status):
    """One task in the edge's journal."""

    run_id: UUID
    attempt: PositiveInt
    state: TaskState
    reason: str = ""


class Capabilities(_Status):
    """What this machine can do."""

    executors: tuple[str, ...]
    cpus: PositiveInt
    memory_bytes: NonNegativeInt
    gpus: NonNegativeInt = 0
    platform: str  # such as linux-x86_64
    max_tasks: PositiveInt = 1


class Report(Wire):
    """Edge → controller, retained: everything that is true there."""

    edge: EdgeName
    session_id: str
    generation: NonNegativeInt  # of the manifest applied last
    agent_version: str
    started_at: AwareDatetime
    capabilities: Capabilities
    models: tuple[ModelStatus, ...] = ()
    pipelines: tuple[PipelineStatus, ...] = ()
    tasks: tuple[TaskStatus, ...] = ()
    disk_free_bytes: NonNegativeInt
    load: NonNegativeFloat  # one-minute load average per cpu
    refused: str = ""  # why the last manifest was refused, if it was
    trusts: tuple[str, ...] = ()  # ids of the controller's keys whose manifests it takes
