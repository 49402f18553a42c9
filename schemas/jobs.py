"""What to train and when (JobSpec), and what an edge needs to do it once (TaskSpec)."""

import json
import re
from collections.abc import Iterable
from typing import Annotated, Literal
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from schemas.names import BlobRef, Duration, EdgeName, File, FileName, FileTree, Identifier, ModelRef, Name

SHORTEST_PERIOD_S = 1.0  # every firing is a row for ever
MAX_PARAMS_BYTES = 100_000  # one environment variable has to hold them
_TAKEN_VARIABLES = re.compile(r"model_file|base_model|progress|additional_output_folder|collection_data_\d+")


class Written(BaseModel):
    """What people write: an unknown key is a typing mistake and is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Schedule(Written):
    """When a job is due: exactly one of ``every``, ``cron`` and ``at``."""

    every: Duration | None = None
    cron: str | None = None  # five fields
    at: AwareDatetime | None = None
    timezone: str = "UTC"  # for cron

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{value!r} is no time zone; write one such as Europe/Paris") from error
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> "Schedule":
        given = [name for name in ("every", "cron", "at") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"exactly one of every, cron and at is needed, not {' and '.join(given) or 'none'}")
        if self.every is not None and self.every < SHORTEST_PERIOD_S:
            raise ValueError(f"every {self.every:g} s is too often; the shortest period is {SHORTEST_PERIOD_S:g} s")
        if self.cron is not None and len(self.cron.split()) != 5:
            raise ValueError(f"cron {self.cron!r} has not five fields (minute hour day month weekday)")
        return self


class Query(Written):
    """Rows for the scripts: one SELECT over collections."""

    query: Annotated[str, Field(min_length=1, max_length=100_000)]
    new_data_only: bool = False
    collection: Identifier | None = None  # whose new rows are meant

    @model_validator(mode="after")
    def _names_its_collection(self) -> "Query":
        if self.new_data_only and self.collection is None:
            raise ValueError("new_data_only needs `collection`: the one whose new rows are meant")
        return self


class Metric(Written):
    """A number that the scripts must write to ``<name>_path``."""

    name: Identifier
    better: Literal["higher", "lower"] = "higher"

    @field_validator("name")
    @classmethod
    def _has_a_variable_of_its_own(cls, name: str) -> str:
        if _TAKEN_VARIABLES.fullmatch(name):
            raise ValueError(f"scripts find something else at {name}_path; call the metric otherwise")
        return name


class Limits(Written):
    """What a task may use."""

    timeout_s: Duration = 3600.0
    cpus: PositiveFloat | None = None
    memory_mb: PositiveInt | None = None
    pids: PositiveInt = 512
    network: Literal["none", "allow"] = "none"
    output_mb: PositiveInt = 2048  # model, additional outputs and metrics together


class Gate(Written):
    """Whether a new version becomes the model's champion."""

    policy: Literal["auto_promote", "manual"] = "auto_promote"
    metric: Identifier | None = None  # compared with the champion's; None: always promote
    tolerance: Annotated[float, Field(ge=0)] = 0.0  # how much worse than the champion is still good


class JobSpec(Written):
    """What to train: when, from which rows, with which scripts, on which edge, into which model."""

    name: Name
    model: Name
    edge: EdgeName
    scripts: Annotated[tuple[File, ...], Field(min_length=1)]
    requirements: File | None = None
    inputs: tuple[File, ...] = ()  # the additional outputs of a first run
    base_model: ModelRef | None = None  # given to the scripts; default: the model's champion
    schedule: Schedule | None = None
    queries: tuple[Query, ...] = ()
    metrics: tuple[Annotated[Metric, BeforeValidator(lambda v: {"name": v} if isinstance(v, str) else v)], ...] = ()
    params: dict[str, object] = {}
    image: str | None = None  # default: the edge's
    limits: Limits = Limits()
    min_rows: PositiveInt = 1  # of the new-data-only queries together; of all if there are none
    gate: Gate = Gate()
    max_attempts: PositiveInt = 3  # a lost edge is tried again; a failing script is not
    lost_after_s: Duration = 3600.0  # an edge silent for longer has lost its task
    paused: bool = False

    @field_validator("params")
    @classmethod
    def _params_fit_a_variable(cls, params: dict[str, object]) -> dict[str, object]:
        try:
            size_bytes = len(json.dumps(params, allow_nan=False, ensure_ascii=False).encode())
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"cannot be written as JSON: {error}") from error
        if size_bytes > MAX_PARAMS_BYTES:
            raise ValueError(f"{size_bytes} bytes as JSON; scripts can be given {MAX_PARAMS_BYTES}")
        return params

    @model_validator(mode="after")
    def _consistent(self) -> "JobSpec":
        metrics = [metric.name for metric in self.metrics]
        _refuse_twice("scripts are called", [script.name for script in self.scripts])
        _refuse_twice("inputs are called", [ref.name for ref in self.inputs])
        _refuse_twice("metrics are called", metrics)
        if self.gate.metric is not None and self.gate.metric not in metrics:
            raise ValueError(f"gate.metric {self.gate.metric!r} is none of the job's metrics")
        return self


def _refuse_twice(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"two {what} {name}")
        seen.add(name)


class _ForEdge(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class TaskData(_ForEdge):
    """The rows of one query; the script finds them at ``collection_data_<index>_path``."""

    index: PositiveInt
    blob: BlobRef
    rows: NonNegativeInt


class TaskScript(_ForEdge):
    """A script, by the name it gets in the task's folder."""

    name: FileName
    blob: BlobRef


class TaskSpec(_ForEdge):
    """Everything an edge needs to do a run once; a blob, named in the manifest. The same for every attempt."""

    v: Literal[1] = 1
    run_id: UUID
    job: Name
    scripts: tuple[TaskScript, ...]
    requirements: BlobRef | None = None
    data: tuple[TaskData, ...] = ()
    additional: FileTree = {}  # what additional_output_folder_path holds at the start
    base_model: BlobRef | None = None
    metrics: tuple[Identifier, ...] = ()
    params: dict[str, object] = {}
    image: str | None = None
    limits: Limits = Limits()
