"""What the HTTP API answers with, so that the controller and its clients read the same thing."""

from typing import Generic, Literal, TypeVar
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, NonNegativeInt

from schemas.collections import CollectionSpec
from schemas.fleet import AppliedChange
from schemas.jobs import JobSpec
from schemas.models import DataSelection
from schemas.names import EdgeName
from schemas.report import Report
from schemas.runs import RunState, RunTrigger, Usage

Item = TypeVar("Item")


class View(BaseModel):
    """An answer; a client ignores what a newer controller adds."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Page(View, Generic[Item]):
    """Some items, and the cursor to ask for those after them."""

    items: tuple[Item, ...]
    next: str | None = None


class EdgeView(View):
    """An enrolled edge and the last that is known of it."""

    name: EdgeName
    labels: dict[str, str] = {}
    online: bool
    since: AwareDatetime | None = None  # of being online or offline; None: never seen
    generation: NonNegativeInt  # of the manifest published last
    report: Report | None = None
    revoked_at: AwareDatetime | None = None


class EnrolledEdge(View):
    """Told once, when an edge is added: what to write into the agent's configuration."""

    edge: EdgeView
    agent_config: str  # TOML with the credentials and the controller's public key


class KeyView(View):
    """A key that the controller signs with."""

    id: str
    public_key: str = ""  # empty: it is retired
    state: Literal["newest", "older", "retired"]
    edges: tuple[EdgeName, ...] = ()  # whose manifests it signs; an older one until they trust the newest


class RekeyedEdge(View):
    """Told once, when an edge is given a new key for secrets: the line to put into the agent's configuration."""

    edge: EdgeName
    agent_config: str  # TOML with the private key


class CollectionView(View):
    """A collection and how full it is."""

    spec: CollectionSpec
    rows: NonNegativeInt
    last_position: NonNegativeInt
    rejects: NonNegativeInt


class Reject(View):
    """A row or payload that did not fit."""

    at: AwareDatetime
    source: str  # the topic, or import
    reason: str
    payload: str  # shortened


class ImportResult(View):
    """What an import did."""

    accepted: NonNegativeInt
    rejected: NonNegativeInt
    reasons: tuple[str, ...] = ()  # of the first rejects, each with its place


class TriggerView(View):
    """What one of a job's data triggers saw last."""

    text: str  # such as: 100 new rows in readings
    seen: str  # such as: 42 new rows; or why it could not look
    next_look_at: AwareDatetime | None = None  # None while the job is paused


class JobUsage(View):
    """What a job's kept runs took together."""

    runs: NonNegativeInt = 0
    cpu_s: float = 0.0
    energy_kwh: float = 0.0
    co2e_kg: float = 0.0
    fetched_bytes: NonNegativeInt = 0
    cached_bytes: NonNegativeInt = 0  # not downloaded, because they were there already


class UsageView(View):
    """What the kept runs of each job took, and all of them together."""

    total: JobUsage
    jobs: dict[str, JobUsage] = {}


class JobView(View):
    """A job, when it is due next, and why it is not running."""

    spec: JobSpec
    created_at: AwareDatetime
    next_fire_at: AwareDatetime | None = None
    next_fires: tuple[AwareDatetime, ...] = ()  # the next five
    triggers: tuple[TriggerView, ...] = ()
    usage: JobUsage = JobUsage()
    live_runs: NonNegativeInt = 0
    last_run: UUID | None = None
    last_run_state: RunState | None = None
    why: str  # one line: what it waits for


class RunView(View):
    """A run; while it is live, ``reason`` and ``deadline`` say what it waits for and how long."""

    id: UUID
    job: str
    state: RunState
    reason: str = ""
    attempt: NonNegativeInt = 0
    edge: str  # empty until one is chosen
    trigger: RunTrigger
    cause: str = ""  # why it was queued
    full: bool = False
    replays: UUID | None = None
    priority: int = 0
    not_before: AwareDatetime | None = None
    scheduled_at: AwareDatetime
    created_at: AwareDatetime
    started_at: AwareDatetime | None = None  # first script of the current attempt
    ended_at: AwareDatetime | None = None
    deadline: AwareDatetime | None = None  # of the present state
    script_s: float | None = None
    exit_code: int | None = None
    executor: str = ""
    environment: str = ""
    environment_cached: bool | None = None
    installer: str = ""  # uv or pip, when the environment was made for this run
    image: str = ""
    image_digest: str = ""
    usage: Usage = Usage()
    data: tuple[DataSelection, ...] = ()
    holdout: DataSelection | None = None
    metrics: dict[str, float] = {}
    model: str
    version: int | None = None
    log_tail: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows were selected for it."""
        return sum(selection.rows for selection in self.data)


class ProgressPage(View):
    """What a run's scripts told of their progress, from ``first_point`` on: such as {"step": 3, "loss": 0.2}."""

    attempt: NonNegativeInt
    first_point: NonNegativeInt
    points: tuple[dict[str, float], ...]
    next_point: NonNegativeInt
    complete: bool


class SecretView(View):
    """A secret: never its value."""

    name: str
    changed_at: AwareDatetime
    used_by: tuple[str, ...] = ()  # jobs


class LogPage(View):
    """Lines of a run's log from ``first_line`` on."""

    attempt: NonNegativeInt
    first_line: NonNegativeInt
    lines: tuple[str, ...]
    next_line: NonNegativeInt
    complete: bool  # the attempt has ended, and no line comes after these


class BrokerView(View):
    """How a device reaches the broker that this controller listens to."""

    kind: Literal["mosquitto", "nats", "external"]
    url: str
    username: str | None = None  # with an embedded broker: an account that may use every topic of the fleet
    password: str | None = None


class Applied(View):
    """What ``apply`` did, or would do."""

    changes: tuple[AppliedChange, ...]
    dry_run: bool = False


class Health(View):
    """One check of the controller's own."""

    name: str
    ok: bool
    detail: str = ""


class FieldError(View):
    """One thing that is wrong with what was sent."""

    where: str  # such as documents[2].queries[0].query
    message: str


class Problem(View):
    """An error as RFC 9457 problem+json."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""
    code: str
    errors: tuple[FieldError, ...] = ()
