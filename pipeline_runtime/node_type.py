"""What a node type is: a name, its parameters, and how a node of it is made and asked."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from schemas.names import Identifier, LibraryName, ModelRef

if TYPE_CHECKING:  # the controller checks pipelines, and must not load onnxruntime for that
    from pipeline_runtime.broker import Message
    from pipeline_runtime.libraries.library_module import Library
    from pipeline_runtime.models.onnx_model import OnnxModel
    from pipeline_runtime.running.run import Run


@dataclass(frozen=True, slots=True)
class Links:
    """What a node refers to outside its pipeline."""

    subscribes: str | None = None  # a topic filter
    qos: Literal[0, 1] = 1  # of the subscription
    correlated: bool = False  # what it waits for is known by a key
    publishes: str | None = None  # a topic, or a filter that takes all it may be
    model: ModelRef | None = None
    library: LibraryName | None = None
    collects: Identifier | None = None  # a collection that it adds rows to
    columns: tuple[Identifier, ...] = ()  # that it is known to fill there


class NodeParams(BaseModel):
    """The keys of a node that its type has beside those of every node; an unknown key is a typing mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def links(self) -> Links:
        """What a node with these parameters refers to."""
        return Links()


class Emit(Protocol):
    """Begins a run behind a node with a value that no message brought."""

    def __call__(self, value: object, settled: Callable[[], None] = ..., /) -> bool:
        """Whether it will begin; ``settled`` is called when all that comes of it is published, or its dead letter."""


def emit_nothing(_value: object, _settled: Callable[[], None] = lambda: None, /) -> bool:
    """For nodes that nobody runs."""
    return False


@dataclass(frozen=True, slots=True)
class Fittings:
    """What a node may be built on."""

    node: str  # its id
    models: "Mapping[ModelRef, OnnxModel]"
    libraries: "Mapping[LibraryName, Library]"
    pipeline: str = ""
    inputs: tuple[str, ...] = ()  # of the node, as written
    state: Path | None = None  # a folder to make, which outlives the process
    emit: Emit = emit_nothing  # False while the pipeline is not, or no longer, in use


class Nothing(Enum):
    """The result of a node that has none."""

    SKIPPED = "skipped"


SKIPPED: Final = Nothing.SKIPPED
"""What a node gives when nothing behind it should run for this message."""


@dataclass(frozen=True, slots=True)
class Branches:
    """What a node with branches gives; a branch that is not named is skipped."""

    values: Mapping[str, object]


class Node(ABC):
    """One node of a pipeline."""

    async def open(self) -> None:  # noqa: B027 - most nodes need nothing
        """Get ready: called once, on the event loop, before the first message. Raises BadInput when it cannot be."""

    async def close(self) -> None:  # noqa: B027 - as above
        """Let go of what ``open`` took: called once, when the last run that uses the node has ended."""

    def notes(self) -> Mapping[str, float]:
        """What the node has counted, for people to see; by a short word each."""
        return {}

    @abstractmethod
    def resolve(self, value: object, run: "Run", /) -> object | Awaitable[object]:
        """The node's result, ``SKIPPED``, or, when it must wait for something, an awaitable of either.

        Args:
            value: the result of the one input, or of several a mapping {input as written: result}. Never to be changed.
            run: the message's way through the pipeline.

        Raises:
            Exception: anything; this message becomes a dead letter, and the next one is not touched by it.
        """


class RootNode(Node):
    """A node whose messages begin runs."""

    def resolve(self, value: object, run: "Run", /) -> object | Awaitable[object]:
        """Only one that may also stand in the middle resolves anything there."""
        raise NotImplementedError

    @abstractmethod
    def read(self, message: "Message", /) -> object:
        """What the message says. Raises BadPayload."""

    @abstractmethod
    def levels(self, topic: str, /) -> Mapping[str, str]:
        """The named levels of a topic."""

    @abstractmethod
    def key(self, value: object, levels: Mapping[str, str], /) -> Hashable:
        """Messages with the same key keep their order; None for all of them. Raises BadPayload."""


class BatchNode(Node):
    """A node that answers several messages for less than it answers each."""

    @abstractmethod
    def resolve_many(self, values: Sequence[object], runs: "Sequence[Run]", /) -> Sequence[object]:
        """For each value what ``resolve`` would give, in their order; what it would raise is given, not raised."""


P = TypeVar("P", bound=NodeParams)


def _no_branches(_: NodeParams) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class NodeType(Generic[P]):
    """A kind of node. What is said of it here and in its parameters is its documentation, its schema and its form."""

    name: str
    params: type[P]
    make: Callable[[P, Fittings], Node]
    doc: str  # one sentence
    example: str  # a node of this type in YAML, as it stands in a document
    starts_runs: bool = False  # without inputs, each of its messages is a run
    may_skip: bool = False  # it may give SKIPPED of itself
    keeps_state: bool = False  # in ``Fittings.state``: the old one is closed before the new one of that id is opened
    branches: Callable[[P], tuple[str, ...]] = _no_branches  # the names of its branches; behind them stands ``id.name``
    only_as_root: frozenset[str] = frozenset()  # parameters that mean something only without inputs
    only_with_inputs: frozenset[str] = frozenset()  # and those that mean something only with them


class Registry:
    """The node types that pipelines may use."""

    def __init__(self, types: Iterable[NodeType[Any]], *, refused: Mapping[str, str] | None = None) -> None:
        self._types: dict[str, NodeType[Any]] = {node_type.name: node_type for node_type in types}
        self.refused: Mapping[str, str] = refused or {}  # what packages offer in vain, and why it is not taken

    def get(self, name: str) -> NodeType[Any] | None:
        """The type of that name, if there is one."""
        return self._types.get(name)

    def __iter__(self) -> Iterator[NodeType[Any]]:
        return iter(self._types.values())

    @property
    def names(self) -> tuple[str, ...]:
        """Every type's name, sorted."""
        return tuple(sorted(self._types))
