"""What to train: when, from which rows, with which scripts, where, and what becomes of the result."""

import json
import re
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
    Tag,
    field_validator,
    model_validator,
)

from schemas.gates import Better, Gate
from schemas.mistakes import kind_tag
from schemas.names import Duration, EdgeName, File, FileName, Identifier, ModelRef, Name
from schemas.queries import Holdout, Query
from schemas.schedules import Misfire, MisfirePolicy, Overlap, OverlapPolicy, Schedule, Trigger
from schemas.written import Written

LONGEST_OWN_MODEL = 90  # a number is put behind it for each model that a job makes
MAX_PARAMS_BYTES = 100_000  # one environment variable has to hold them
_TAKEN_NAMES = (
    r"model_file|base_model|progress|metrics|holdout_data|edge_folder|additional_output_folder|collection_data_\d+"
)
_TAKEN_METRICS = re.compile(_TAKEN_NAMES)
_TAKEN_VARIABLES = re.compile(
    rf"({_TAKEN_NAMES})_path|TIDEMILL_.*|PATH|HOME|TMPDIR|VIRTUAL_ENV|PYTHON.*|LD_.*", re.IGNORECASE
)

VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,126}$")]
"""An environment variable."""

RequirementLine = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f]{1,500}$")]
"""One line of a requirements file, such as ``scikit-learn==1.7``."""

_FILE, _LINES = kind_tag("file"), kind_tag("lines")
Requirements = Annotated[
    Annotated[File, Tag(_FILE)] | Annotated[tuple[RequirementLine, ...], Tag(_LINES)],
    Discriminator(lambda value: _LINES if isinstance(value, list | tuple) else _FILE),
]
"""In a document: the path of a requirements file, or its lines as a list."""


class Metric(Written):
    """A number that the scripts write to ``<name>_path``."""

    name: Identifier
    better: Better = "higher"
    required: bool = True  # without it the run fails

    @field_validator("name")
    @classmethod
    def _has_a_variable_of_its_own(cls, name: str) -> str:
        if _TAKEN_METRICS.fullmatch(name):
            raise ValueError(f"scripts find something else at {name}_path; call the metric otherwise")
        return name


class Limits(Written):
    """What a task may use; an edge that has less than it asks for is not chosen."""

    timeout_s: Duration = 3600.0
    cpus: PositiveFloat | None = None
    memory_mb: PositiveInt | None = None
    gpus: NonNegativeInt = 0
    pids: PositiveInt = 512
    network: Literal["none", "allow"] = "none"
    output_mb: PositiveInt = 2048  # model, additional outputs and metrics together
    scratch_mb: PositiveInt = 8192  # what the scripts leave in their working folder
    tmpfs_mb: PositiveInt = 256  # /tmp in a container: memory


class Retry(Written):
    """When a run that went wrong is tried again, with a new attempt."""

    max_attempts: PositiveInt = 3
    on: tuple[Literal["edge_lost", "out_of_disk", "script_failed"], ...] = ("edge_lost", "out_of_disk")
    backoff: Duration = 10.0  # before the second attempt; doubled before each further one
    backoff_cap: Duration = 600.0


class Silence(Written):
    """What becomes of a run whose edge is not heard of."""

    lost_after: Duration = 3600.0  # an edge silent for longer has lost its task
    replace: bool = True  # then start elsewhere if the job allows that; False: wait for the edge, however long
    stop_after: Duration | None = None  # the cut-off edge itself ends the task after so long; None: it finishes it


class SecretUse(Written):
    """A secret of the controller's, as the scripts get it: in a variable, or in a file whose path is in one."""

    secret: Identifier
    variable: VariableName | None = None  # default: the secret's name, with `_path` behind it for a file
    file: FileName | None = None

    @property
    def variable_name(self) -> str:
        """The variable in which the scripts find it, or its path."""
        return self.variable or (f"{self.secret}_path" if self.file else self.secret)


class Keep(Written):
    """How much of a job's past is kept; what is in use, and what one would roll back to, always is."""

    versions: PositiveInt | None = None  # newest of the job's model versions; None: all
    runs: PositiveInt = 1000  # newest ended runs, with their logs and data


def _named(key: str) -> BeforeValidator:
    return BeforeValidator(lambda value: {key: value} if isinstance(value, str) else value)


class JobSpec(Written):
    """What to train: when, from which rows, with which scripts, on which edge, into which model."""

    name: Name
    model: Name
    edge: EdgeName | None = None
    edge_labels: dict[str, str] | None = None  # instead of `edge`: the least loaded one that has these, {} for any
    executor: Literal["docker", "process"] | None = None  # only edges that have it
    priority: Annotated[int, Field(ge=-100, le=100)] = 0  # who goes first when an edge has room again: the highest
    scripts: Annotated[tuple[File, ...], Field(min_length=1)]
    requirements: Requirements | None = None
    inputs: tuple[File, ...] = ()  # the additional outputs of a first run; a folder stands for all files in it
    edge_folder: Annotated[str, StringConstraints(pattern=r"^/[^\x00]*$")] | None = None  # data that stays on its edge
    base_model: ModelRef | None = None  # given to the scripts; default: the model's champion
    update_existing: bool = True  # versions of `model`; False: each run makes a new model, <model>-1, <model>-2 …
    schedule: Schedule | None = None
    misfire: Misfire = MisfirePolicy()
    overlap: Overlap = OverlapPolicy()
    triggers: tuple[Trigger, ...] = ()
    queries: tuple[Query, ...] = ()
    min_rows: PositiveInt = 1  # of the new-data-only queries together; of all if there are none
    max_rows: PositiveInt | None = None  # of each query; of new rows, the rest is left for the next run
    holdout: Holdout | None = None
    metrics: tuple[Annotated[Metric, _named("name")], ...] = ()
    params: dict[str, object] = {}
    variables: dict[VariableName, str] = {}
    secrets: tuple[Annotated[SecretUse, _named("secret")], ...] = ()
    image: str | None = None  # default: the edge's
    limits: Limits = Limits()
    gate: Gate | None = None  # default: the model's, and without one Gate()
    retry: Retry = Retry()
    silence: Silence = Silence()
    start_within: Duration = 7 * 86400.0  # a run that has found no edge after so long is given up
    keep: Keep = Keep()
    paused: bool = False

    @property
    def better(self) -> dict[str, Better]:
        """Which way each of its metrics is."""
        return {metric.name: metric.better for metric in self.metrics}

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
    def _names_are_told_apart(self) -> "JobSpec":
        metrics = [metric.name for metric in self.metrics]
        _refuse_twice("scripts are called", [script.name for script in self.scripts])
        _refuse_twice("inputs are called", [ref.place for ref in self.inputs])
        _refuse_twice("metrics are called", metrics)
        fault = next(self.gate.faults(self.better, holdout=self.holdout is not None), None) if self.gate else None
        if fault is not None:
            raise ValueError(f"gate.{fault}")
        return self

    @model_validator(mode="after")
    def _variables_are_told_apart(self) -> "JobSpec":
        own = [*self.variables, *(use.variable_name for use in self.secrets)]
        for name in own:
            if _TAKEN_VARIABLES.fullmatch(name):
                raise ValueError(f"the variable {name} is set for every script, and cannot be set by a job")
        _refuse_twice("variables are called", [*own, *(f"{metric.name}_path" for metric in self.metrics)])
        _refuse_twice("secret files are called", [use.file for use in self.secrets if use.file])
        return self

    @model_validator(mode="after")
    def _has_a_place(self) -> "JobSpec":
        if (self.edge is None) == (self.edge_labels is None):
            raise ValueError("a job names its `edge`, or the `edge_labels` that an edge must have ({} for any edge)")
        return self

    @model_validator(mode="after")
    def _catches_up_in_a_queue(self) -> "JobSpec":
        if self.misfire.policy == "catch_up" and self.overlap.policy != "queue":
            raise ValueError(
                "misfire.policy catch_up makes several runs at once, and all but one would be refused or cancelled by "
                f"overlap: {self.overlap.policy}; write overlap: queue"
            )
        return self

    @model_validator(mode="after")
    def _leaves_room_for_numbers(self) -> "JobSpec":
        if not self.update_existing and len(self.model) > LONGEST_OWN_MODEL:
            raise ValueError(f"model has over {LONGEST_OWN_MODEL} letters; names such as {self.model}-1 would not fit")
        return self


def _refuse_twice(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"two {what} {name}")
        seen.add(name)
