"""What the agent and a pipeline's worker process say to each other: JSON lines on the worker's stdin and stdout."""

from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    TypeAdapter,
    field_serializer,
)

from schemas.broker import BrokerAddress
from schemas.names import LibraryName, ModelRef, Name
from schemas.pipelines import NodeFigures, Outcome, PipelineSpec
from schemas.report import PipelineState, SinceSwap

SOUND_S = 60.0  # a worker that has lived for so long is sound: what ends it later is another matter
MAX_LINE_BYTES = 16 * 1024 * 1024  # a pipeline of a thousand nodes takes far less


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_line(self) -> bytes:
        """The bytes to write."""
        return self.model_dump_json().encode() + b"\n"


class ModelFile(BaseModel):
    """The model that a reference stands for now."""

    model_config = ConfigDict(frozen=True)
    version: PositiveInt
    path: Path
    content: str = ""  # the digest of its card: a version of the same number may have been made anew


class ShadowFile(ModelFile):
    """The model that is asked beside another."""

    name: Name

    @property
    def ref(self) -> ModelRef:
        """What its nodes call it."""
        return f"{self.name}:{self.version}"


class Connect(_Line):
    """Agent → worker, once and first: the broker. Not on the command line, where all could read its password."""

    order: Literal["connect"] = "connect"
    broker: BrokerAddress
    client_id: str
    keep_session: bool = True  # the broker keeps messages while the worker is away
    stale_filters: tuple[str, ...] = ()  # what that session may be subscribed to from before
    replaced_filters: tuple[str, ...] = ()  # this too, but what came by them is still to be answered
    mark_fd: NonNegativeInt | None = None  # cautious: one message at a time, and the one in hand is marked here
    deadly: tuple[str, ...] = ()  # marks of messages that are not to be tried again
    state: Path | None = None  # a folder that outlives the process, for what nodes must not lose

    @field_serializer("broker")
    def _with_its_password(self, broker: BrokerAddress) -> dict[str, Any]:
        password = broker.password.get_secret_value() if broker.password else None
        return {**broker.model_dump(mode="json"), "password": password}


class Load(_Line):
    """Agent → worker: answer with this from the next message on."""

    order: Literal["load"] = "load"
    version: PositiveInt
    content_id: str = ""  # a name for all of it; one that differs in nothing else is not loaded again
    spec: PipelineSpec
    models: dict[ModelRef, ModelFile] = {}
    shadows: dict[ModelRef, ShadowFile] = {}  # asked beside the model of that reference, to compare
    libraries: dict[LibraryName, Path] = {}
    packages: tuple[Path, ...] = ()  # folders that the libraries' requirements are in; the same for a process's life

    def is_named_otherwise(self, other: "Load | None") -> bool:
        """Whether the other is the same but for its name."""
        return other is not None and self.model_copy(update={"content_id": other.content_id}) == other

    def has_other_files_than(self, other: "Load") -> bool:
        """Whether a model's file is another one now, at the place where one of the other's was."""
        theirs = {model.path: model.content for model in (*other.models.values(), *other.shadows.values())}
        ours = (*self.models.values(), *self.shadows.values())
        return any(theirs.get(model.path, model.content) != model.content for model in ours)


class Show(_Line):
    """Agent → worker: tell what became of the last messages."""

    order: Literal["show"] = "show"
    ask: UUID
    count: PositiveInt


class Leave(_Line):
    """Agent → worker: share no messages with other replicas any more, answer those that you have, and say ``Left``."""

    order: Literal["leave"] = "leave"


class Stop(_Line):
    """Agent → worker: end what is in flight, then end. The same as when stdin closes."""

    order: Literal["stop"] = "stop"


Order = Connect | Load | Show | Leave | Stop

_ORDER: TypeAdapter[Order] = TypeAdapter(Annotated[Order, Field(discriminator="order")])


def read_order(line: bytes) -> Order:
    """One line of the agent's. Raises ValueError if it is none: agent and worker are not of one version."""
    return _ORDER.validate_json(line)


class WorkerStatus(_Line):
    """Worker → agent: how it does; written whenever something has changed, and as a sign of life every few seconds."""

    line: Literal["status"] = "status"
    state: PipelineState
    reason: str = ""
    failed_at: AwareDatetime | None = None  # when a message failed last
    version: NonNegativeInt = 0  # of the pipeline that answers now; 0: none yet
    content_id: str = ""  # of what answers now
    unloadable: str = ""  # the content_id of what was ordered last, if it could not be loaded
    since_swap: SinceSwap | None = None
    models: dict[ModelRef, PositiveInt] = {}
    received: NonNegativeInt = 0
    answered: NonNegativeInt = 0
    failed: NonNegativeInt = 0
    dropped: NonNegativeInt = 0  # for want of room, or too large
    nodes: dict[str, NodeFigures] = {}


class Shown(_Line):
    """Worker → agent: what was asked for with ``Show``."""

    line: Literal["shown"] = "shown"
    ask: UUID
    outcomes: tuple[Outcome, ...]


class Left(_Line):
    """Worker → agent: the broker holds nothing for this worker that a replica should have answered."""

    line: Literal["left"] = "left"


Answer = WorkerStatus | Shown | Left

_ANSWER: TypeAdapter[Answer] = TypeAdapter(Annotated[Answer, Field(discriminator="line")])


def read_answer(line: bytes) -> Answer:
    """One line of the worker's. Raises ValueError if it is none."""
    return _ANSWER.validate_json(line)
