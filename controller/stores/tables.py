"""The tables of the control database. Documents are kept as the JSON that their schema wrote."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Dialect, Index, Integer, Text, TypeDecorator, UniqueConstraint
from sqlmodel import Field, SQLModel


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time; SQLite itself would forget the zone."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Refuse a time without a zone, keep the others as UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ANN401, ARG002
        """Give the zone back."""
        return None if value is None else value.replace(tzinfo=UTC)


class Said(TypeDecorator[str]):
    """What somebody said, such as an installer or an edge: any text. PostgreSQL itself takes no zero bytes."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Put a replacement character where a zero byte is."""
        return None if value is None else value.replace("\x00", "\N{REPLACEMENT CHARACTER}")


GrowingNumber = BigInteger().with_variant(Integer(), "sqlite")
"""A key that the database counts up; SQLite does so for this type only, whose numbers are as large."""


class EdgeRow(SQLModel, table=True):
    """An enrolled edge, what was published to it last, and what it said last."""

    __tablename__ = "edges"
    name: str = Field(primary_key=True)
    labels: str = Field(default="{}", sa_type=Text)
    added_at: datetime = Field(sa_type=UtcDateTime)
    sealing_key: str = ""  # X25519 public key; what is sealed to it, only this edge can open
    signing_key_id: str = ""  # of the key that this edge trusts, as far as it is known
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # it is told nothing any more
    generation: int = 0
    wanted: str = Field(default="", sa_type=Text)  # the manifest's content without its generation
    signed: str = Field(default="", sa_type=Text)  # the SignedManifest published last
    online: bool = False
    session_id: str = ""
    since: datetime | None = Field(default=None, sa_type=UtcDateTime)
    report: str | None = Field(default=None, sa_type=Text)
    reported_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # on the controller's clock


class JobRow(SQLModel, table=True):
    """A job and its schedule's cursor."""

    __tablename__ = "jobs"
    name: str = Field(primary_key=True)
    spec: str = Field(sa_type=Text)
    created_at: datetime = Field(sa_type=UtcDateTime)
    anchor_at: datetime = Field(sa_type=UtcDateTime)  # what `every` counts from
    next_fire_at: datetime | None = Field(default=None, sa_type=UtcDateTime, index=True)


class TriggerRow(SQLModel, table=True):
    """What a job's data trigger saw last; ``trigger`` is the digest of its document."""

    __tablename__ = "job_triggers"
    job: str = Field(primary_key=True)
    trigger: str = Field(primary_key=True)
    position: int = Field(default=0, sa_type=BigInteger)  # new rows: of the collection, as the job's last run saw it
    run: UUID | None = None  # new rows: the newest run that `position` takes account of
    value: float | None = None  # what it saw last: the number of new rows, or what the query gave
    crossed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # threshold: due then, and still beyond it
    next_look_at: datetime | None = Field(default=None, sa_type=UtcDateTime, index=True)  # None while the job is paused
    problem: str = Field(default="", sa_type=Said)  # why it could not look


class RunRow(SQLModel, table=True):
    """A run. ``revision`` grows with every saved step, so that two steps cannot both follow the same one."""

    __tablename__ = "runs"
    __table_args__ = (
        UniqueConstraint("job", "scheduled_at", name="one_run_per_tick"),
        Index("ix_runs_job_created_at", "job", "created_at"),
        Index("ix_runs_job_state", "job", "state", "created_at"),
    )
    id: UUID = Field(primary_key=True)
    job: str
    spec: str = Field(sa_type=Text)  # the job as it was when the run was made
    trigger: str
    cause: str = Field(default="", sa_type=Said)  # the line that says why it was queued
    full: bool = False  # all rows, also for queries that ask for new ones only
    replays: UUID | None = None  # the run whose frozen data it trains on again
    priority: int = 0
    admitted: bool = False  # its turn among the runs of its job has come
    not_before: datetime | None = Field(default=None, sa_type=UtcDateTime)  # jitter, or the pause before a retry
    scheduled_at: datetime = Field(sa_type=UtcDateTime)
    created_at: datetime = Field(sa_type=UtcDateTime, index=True)
    revision: int = 0
    state: str = Field(index=True)
    reason: str = Field(default="", sa_type=Said)
    deadline: datetime | None = Field(default=None, sa_type=UtcDateTime)
    edge: str = Field(index=True)  # empty until one is chosen
    attempt: int = 0
    last_sequence: int = 0
    data: str = Field(default="[]", sa_type=Text)  # DataSelections
    task: str | None = Field(default=None, sa_type=Text)  # BlobRef of the TaskSpec
    base_version: int | None = None
    base_model: str | None = None  # as name:version, what its scripts were given
    started: str | None = Field(default=None, sa_type=Text)  # the attempt's Started event
    started_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    exited: str | None = Field(default=None, sa_type=Text)  # the attempt's Exited event
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    model: str = ""  # in which it made a version
    version: int | None = None
    holdout: str | None = Field(default=None, sa_type=Text)  # DataSelection
    secrets: str | None = Field(default=None, sa_type=Text)  # BlobRef of the attempt's SealedSecrets
    # What its attempts took together, for sums over runs.
    cpu_s: float = 0.0
    energy_kwh: float = 0.0
    co2e_kg: float = 0.0
    fetched_bytes: int = Field(default=0, sa_type=BigInteger)
    cached_bytes: int = Field(default=0, sa_type=BigInteger)


class WatermarkRow(SQLModel, table=True):
    """How far a job's new-data-only query has been trained on."""

    __tablename__ = "watermarks"
    job: str = Field(primary_key=True)
    query: int = Field(primary_key=True)  # 1-based index
    collection: str = Field(primary_key=True)
    position: int = Field(sa_type=BigInteger)


class ModelRow(SQLModel, table=True):
    """A named registry entry."""

    __tablename__ = "models"
    name: str = Field(primary_key=True)
    description: str = Field(default="", sa_type=Text)
    created_at: datetime = Field(sa_type=UtcDateTime)
    last_version: int = 0  # the highest number ever given; that of a deleted version is not given again
    gate: str | None = Field(default=None, sa_type=Text)  # a Gate; None: what is uploaded is judged by nobody


class VersionRow(SQLModel, table=True):
    """A model version; one run can register one only."""

    __tablename__ = "model_versions"
    model: str = Field(primary_key=True, foreign_key="models.name")
    version: int = Field(primary_key=True)
    run_id: UUID | None = Field(default=None, unique=True)
    job: str | None = Field(default=None, index=True)  # that made it, by its present name; the card has the name then
    created_at: datetime = Field(sa_type=UtcDateTime)
    file_digest: str  # of model.onnx
    card: str = Field(sa_type=Text)  # the ModelVersion
    card_blob: str = Field(sa_type=Text)  # BlobRef of the same
    note: str = Field(default="", sa_type=Said)
    tags: str = Field(default="{}", sa_type=Text)


class GateResultRow(SQLModel, table=True):
    """What a gate found of a version, or what a person decided in its place; the newest one counts."""

    __tablename__ = "gate_results"
    __table_args__ = (Index("ix_gate_results_model_version", "model", "version"), {"sqlite_autoincrement": True})
    id: int | None = Field(default=None, primary_key=True, sa_type=GrowingNumber)
    model: str
    version: int
    at: datetime = Field(sa_type=UtcDateTime)
    decision: str
    by: str = Field(default="", sa_type=Said)  # empty: the gate itself
    result: str = Field(sa_type=Text)  # the GateResult


class AliasRow(SQLModel, table=True):
    """A movable name for a version."""

    __tablename__ = "aliases"
    model: str = Field(primary_key=True, foreign_key="models.name")
    alias: str = Field(primary_key=True)
    version: int
    previous: int | None = None  # what it stood for before: where one would roll back to
    moved_at: datetime = Field(sa_type=UtcDateTime)
    reason: str = Field(default="", sa_type=Said)
    revision: int = 0  # the id of its last move, so that two people cannot both follow the same one


class AliasMoveRow(SQLModel, table=True):
    """One move of an alias; none is ever changed or forgotten while its model is there."""

    __tablename__ = "alias_moves"
    __table_args__ = (Index("ix_alias_moves_model_alias", "model", "alias"), {"sqlite_autoincrement": True})
    id: int | None = Field(default=None, primary_key=True, sa_type=GrowingNumber)
    model: str
    alias: str
    version: int | None  # None: the alias was removed
    previous: int | None
    at: datetime = Field(sa_type=UtcDateTime)
    by: str = Field(default="", sa_type=Said)  # such as: gate of retrain, or tidemill model promote
    reason: str = Field(default="", sa_type=Said)
    deploys: bool = True  # False: deployments that follow it wait for a person's approval
    undoes: int | None = None  # the id of the move that this one took back


class PipelineRow(SQLModel, table=True):
    """An immutable pipeline version."""

    __tablename__ = "pipelines"
    name: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    spec: str = Field(sa_type=Text)
    blob: str = Field(sa_type=Text)  # BlobRef of the spec
    created_at: datetime = Field(sa_type=UtcDateTime)
    made_by: str = Field(default="", sa_type=Said)  # such as: tidemill apply -f fleet.yaml


class DeadLetterRow(SQLModel, table=True):
    """A message that a pipeline could not answer. ``id`` grows as they come in, and stands for no other ever."""

    __tablename__ = "dead_letters"
    __table_args__ = (Index("ix_dead_letters_pipeline_id", "pipeline", "id"), {"sqlite_autoincrement": True})
    id: int | None = Field(default=None, primary_key=True, sa_type=GrowingNumber)
    digest: str = Field(unique=True)  # of the letter: a broker may deliver it twice
    pipeline: str
    version: int
    at: datetime = Field(sa_type=UtcDateTime)
    topic: str = Field(sa_type=Said)
    node: str = Field(sa_type=Said)
    error: str = Field(sa_type=Said)
    truncated: bool  # the payload is only the first bytes of what came
    size_bytes: int  # of the payload
    retried_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    payload: bytes  # last, so that the others are read without it


class LibraryRow(SQLModel, table=True):
    """An immutable library version."""

    __tablename__ = "libraries"
    name: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    spec: str = Field(sa_type=Text)
    created_at: datetime = Field(sa_type=UtcDateTime)


class DeploymentRow(SQLModel, table=True):
    """A wish that edges run a pipeline or hold a model."""

    __tablename__ = "deployments"
    name: str = Field(primary_key=True)
    spec: str = Field(sa_type=Text)
    created_at: datetime = Field(sa_type=UtcDateTime)


class RolloutRow(SQLModel, table=True):
    """The moving of a deployment's edges to one content, numbered within the deployment."""

    __tablename__ = "rollouts"
    deployment: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    wish: str = Field(sa_type=Text)  # what the deployment stood for when this was made: only another makes a new one
    content: str = Field(sa_type=Text)  # the WantedPipeline or WantedModel that edges are moved to
    plan: str = Field(sa_type=Text)  # the plan as it was then
    state: str = Field(index=True)
    reason: str = Field(default="", sa_type=Said)
    cause: str = Field(default="", sa_type=Said)  # such as: champion of iris was moved from 3 to 4
    by: str = Field(default="", sa_type=Said)
    step: int = 0  # how often edges were placed
    step_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # since when all of them do well
    approved: bool = False
    created_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    revision: int = 0  # grows with every saved step


class PlacementRow(SQLModel, table=True):
    """Which rollout's content a deployment wants on an edge now, and which it would go back to."""

    __tablename__ = "placements"
    deployment: str = Field(primary_key=True)
    edge: str = Field(primary_key=True)
    rollout: int
    previous: int | None = None
    generation: int = 0  # of the first manifest that says so: an earlier one's report tells nothing of it
    placed_at: datetime = Field(sa_type=UtcDateTime)
    state: str = ""  # as its edge reported it last; empty: it does not know of it yet
    reason: str = Field(default="", sa_type=Said)
    state_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class WindowRow(SQLModel, table=True):
    """A maintenance window: when what edges with some labels hold may change."""

    __tablename__ = "maintenance_windows"
    name: str = Field(primary_key=True)
    spec: str = Field(sa_type=Text)
    created_at: datetime = Field(sa_type=UtcDateTime)


class ChangeRow(SQLModel, table=True):
    """One line of the timeline: what changed on an edge or for all, when, and what caused it."""

    __tablename__ = "changes"
    __table_args__ = (
        Index("ix_changes_edge_id", "edge", "id"),
        Index("ix_changes_subject_id", "subject", "id"),
        {"sqlite_autoincrement": True},
    )
    id: int | None = Field(default=None, primary_key=True, sa_type=GrowingNumber)
    at: datetime = Field(sa_type=UtcDateTime)
    kind: str  # such as: alias, rollout, placed, answers, returned
    subject: str  # such as: model iris, deployment scoring
    edge: str = ""
    what: str = Field(sa_type=Said)
    cause: str = Field(default="", sa_type=Said)
    by: str = Field(default="", sa_type=Said)


class ServingRow(SQLModel, table=True):
    """Which version of a model answered in a pipeline on an edge, from when until when, by the edge's own reports."""

    __tablename__ = "servings"
    __table_args__ = (Index("ix_servings_edge_pipeline", "edge", "pipeline", "ref"), {"sqlite_autoincrement": True})
    id: int | None = Field(default=None, primary_key=True, sa_type=GrowingNumber)
    edge: str
    pipeline: str
    pipeline_version: int
    ref: str = ""  # as the nodes write it; empty: the pipeline itself
    model: str = ""
    version: int | None = None
    since: datetime = Field(sa_type=UtcDateTime)
    until: datetime | None = Field(default=None, sa_type=UtcDateTime)


class SecretRow(SQLModel, table=True):
    """A secret, encrypted with the controller's key; no answer ever holds its value."""

    __tablename__ = "secrets"
    name: str = Field(primary_key=True)
    sealed: str = Field(sa_type=Text)
    changed_at: datetime = Field(sa_type=UtcDateTime)


class TokenRow(SQLModel, table=True):
    """An API token, by the sha256 of its 256 random bits."""

    __tablename__ = "tokens"
    digest: str = Field(primary_key=True)
    name: str
    created_at: datetime = Field(sa_type=UtcDateTime)
