"""What a node type is: a name, its parameters, and how a node of it is made and asked."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from schemas.names import LibraryName, ModelRef

if TYPE_CHECKING:  # the controller checks pipelines, and must not load onnxruntime for that
    from pipeline_runtime.library_module import Library
    from pipeline_runtime.onnx_model import OnnxModel
    from pipeline_runtime.run import Run


@dataclass(frozen=True, slots=True)
class Links:
    """What a node refers to outside its pipeline."""

    subscribes: str | None = None  # a topic filter
    qos: Literal[0, 1] = 1  # of the subscription
    publishes: str | None = None  # a topic
    model: ModelRef | None = None
    library: LibraryName | None = None


class NodeParams(BaseModel):
    """The keys of a node beside id, type and inputs; an unknown key is a typing mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def links(self) -> Links:
        """What a node with these parameters refers to."""
        return Links()


@dataclass(frozen=True, slots=True)
class Fittings:
    """What a node may be built on."""

    node: str  # its id
    models: "Mapping[ModelRef, OnnxModel]"
    libraries: "Mapping[LibraryName, Library]"


class Node(Protocol):
    """One node of a pipeline that is ready to run."""

    def resolve(self, value: object, run: "Run", /) -> object | Awaitable[object]:
        """The node's result, or, when it must wait for something, an awaitable of it.

        Args:
            value: the result of the one input, or of several a mapping {input's id: result}. Never to be changed.
            run: the message's way through the pipeline.

        Raises:
            Exception: anything; this message becomes a dead letter, and the next one is not touched by it.
        """


P = TypeVar("P", bound=NodeParams)


@dataclass(frozen=True, slots=True)
class NodeType(Generic[P]):
    """A kind of node."""

    name: str
    params: type[P]
    make: Callable[[P, Fittings], Node]
    starts_runs: bool = False  # without inputs, each of its messages is a run


class Registry:
    """The node types that pipelines may use."""

    def __init__(self, types: Iterable[NodeType[Any]]) -> None:
        self._types: dict[str, NodeType[Any]] = {node_type.name: node_type for node_type in types}

    def get(self, name: str) -> NodeType[Any] | None:
        """The type of that name, if there is one."""
        return self._types.get(name)

    @property
    def names(self) -> tuple[str, ...]:
        """Every type's name, sorted."""
        return tuple(sorted(self._types))
