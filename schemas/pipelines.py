"""A pipeline as people write it; what its node types mean is the pipeline runtime's business."""

import re
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    StringConstraints,
    ValidationError,
    field_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from schemas.names import Duration, Identifier, Name
from schemas.topics import check_topic
from schemas.written import Written

InputRef = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_]{0,62})?$")]
"""Where a node's input comes from: a node's id, or ``id.branch`` of one that has branches."""

NODE_TYPE_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
"""What a node type may be called."""

Join = Literal["all", "any"]
"""When a node with several inputs runs: if none of them was skipped, or if at least one was not."""


class OnError(BaseModel):
    """What happens when a node fails: it is asked again, and then the message is given up or the pipeline stops."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    retry: Annotated[int, Field(ge=0, le=100, description="How often the node is asked again.")] = 0
    backoff: Annotated[
        Duration,
        Field(description="The pause before it is asked again; twice as long each later time, a minute at most."),
    ] = 1.0
    then: Annotated[
        Literal["dead_letter", "stop"], Field(description="What comes of the message then, or of the whole pipeline.")
    ] = "dead_letter"


class Queue(BaseModel):
    """How many messages are worked on together, and what happens to those that come faster."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    in_flight: Annotated[int, Field(ge=1, le=10_000, description="How many messages are worked on together.")] = 64
    size: Annotated[NonNegativeInt, Field(description="How many messages may wait for that.")] = 1000
    overflow: Annotated[
        Literal["block", "drop_oldest", "drop_newest"] | None,
        Field(description="What becomes of messages beyond; by default `block`, and `drop_oldest` at QoS 0."),
    ] = None


class NodeFigures(BaseModel):
    """How often a node ran since its worker began, and how long that took."""

    model_config = ConfigDict(frozen=True)
    ran: NonNegativeInt = 0
    failed: NonNegativeInt = 0
    skipped: NonNegativeInt = 0
    mean_s: NonNegativeFloat = 0.0
    p50_s: NonNegativeFloat = 0.0  # this and the next to a factor of two
    p99_s: NonNegativeFloat = 0.0
    notes: dict[str, float] = {}  # what else the node counts, such as how often a shadow agreed


class NodeOutcome(BaseModel):
    """What a node made of one message."""

    model_config = ConfigDict(frozen=True)
    node: str
    state: Literal["done", "skipped", "not run"]
    result: str = ""  # as JSON, cut if it is long
    duration_s: NonNegativeFloat = 0.0


class Outcome(BaseModel):
    """One message's way through a pipeline, after its end."""

    model_config = ConfigDict(frozen=True)
    at: AwareDatetime
    version: int
    topic: str
    payload: str  # as text, cut if it is long
    nodes: tuple[NodeOutcome, ...]
    failed_at: str = ""  # the node that failed
    error: str = ""


class Position(BaseModel):
    """Where an editor draws a node."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    x: float
    y: float


class NodeSpec(BaseModel):
    """One node: the keys beside these are the parameters of its type."""

    model_config = ConfigDict(frozen=True, extra="allow")
    id: Annotated[Identifier, Field(description="What other nodes and messages call it.")]
    type: Annotated[str, Field(min_length=1, max_length=100, description="Its type.")]
    inputs: Annotated[
        tuple[InputRef, ...], Field(description="The nodes that it has its input from: `id`, or `id.branch`.")
    ] = ()
    join: Annotated[
        Join | None,
        Field(description="Whether it runs with `any` of its inputs or only with `all`, where one may be skipped."),
    ] = None
    on_error: Annotated[
        OnError | None, Field(description="What happens when it fails; by default what the pipeline says.")
    ] = None

    @property
    def params(self) -> dict[str, object]:
        """The parameters of the node's type, not yet checked."""
        return dict(self.model_extra or {})


class PipelineSpec(Written):
    """A directed acyclic graph of nodes fed by MQTT."""

    name: Name
    nodes: Annotated[
        tuple[NodeSpec, ...], Field(min_length=1, max_length=1000, description="The nodes, in whatever order.")
    ]
    dead_letter_topic: Annotated[
        Annotated[str, AfterValidator(check_topic)] | None,
        Field(description="Where messages go that fail; by default `<name>/dead_letters`."),
    ] = None
    on_error: Annotated[OnError, Field(description="What happens when a node fails.")] = OnError()
    queue: Annotated[Queue, Field(description="How many messages are worked on, and how many wait.")] = Queue()
    paused: Annotated[bool, Field(description="It takes no messages; the broker keeps those of QoS 1 for it.")] = False
    replicas: Annotated[
        int, Field(ge=1, le=64, description="Worker processes on each edge, which share the messages.")
    ] = 1
    memory_mb: Annotated[
        Annotated[int, Field(ge=64)] | None,
        Field(description="Of each worker; one that takes more is started anew."),
    ] = None
    layout: Annotated[
        dict[Identifier, Position], Field(description="Where an editor draws each node; means nothing to the pipeline.")
    ] = {}

    @property
    def dead_letters(self) -> str:
        """The topic that failed messages are published on."""
        return self.dead_letter_topic or f"{self.name}/dead_letters"

    @field_validator("nodes")
    @classmethod
    def _unique_ids(cls, nodes: tuple[NodeSpec, ...]) -> tuple[NodeSpec, ...]:
        """Errors of its own rather than one, since each has the place of the node that is to have another id."""
        first: dict[str, int] = {}
        taken: list[InitErrorDetails] = []
        for index, node in enumerate(nodes):
            if first.setdefault(node.id, index) != index:
                error = PydanticCustomError("id_taken", "nodes[{first}] has this id already", {"first": first[node.id]})
                taken.append(InitErrorDetails(type=error, loc=(index, "id"), input=node.id))
        if taken:
            raise ValidationError.from_exception_data(cls.__name__, taken)
        return nodes
