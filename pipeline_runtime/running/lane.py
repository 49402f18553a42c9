"""What the messages of one root go through, made ready, and what they share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from pipeline_runtime.compiling.plan import Source
from pipeline_runtime.node_type import SKIPPED, BatchNode, Branches, RootNode
from pipeline_runtime.running.inbox import Inbox
from pipeline_runtime.running.loaded import LiveNode, Loaded
from pipeline_runtime.running.statistics import NodeStatistics
from pipeline_runtime.running.turns import Orders
from schemas.pipelines import OnError

Results = Sequence[object]
"""What the nodes of a run gave, by position; the root's is the first."""


@dataclass(frozen=True, slots=True)
class LaneStep:
    """A node at its place in a lane."""

    position: int
    id: str
    resolve: Callable[..., object]  # its node's
    batches: BatchNode | None  # the node, if it is one
    parents: tuple[int, ...]  # positions
    value: Callable[[Results], object]  # its input; SKIPPED when it is not to run
    on_error: OnError
    statistics: NodeStatistics


@dataclass(slots=True, eq=False)
class Lane:
    """The way of a root's messages."""

    key: str  # what its messages come by
    root_id: str
    root: RootNode
    root_statistics: NodeStatistics
    steps: tuple[LaneStep, ...]  # inputs before those that need them; positions 1, 2, …
    orders: Orders
    inboxes: Mapping[str, Inbox]  # by the id of the mqtt_sub in the middle
    loaded: Loaded
    batching: tuple[LaneStep, ...] = field(init=False)  # those of the steps that answer several messages at once
    ids: tuple[str, ...] = field(init=False)  # of the root and the steps, by position

    def __post_init__(self) -> None:
        self.batching = tuple(step for step in self.steps if step.batches)
        self.ids = (self.root_id, *(step.id for step in self.steps))

    @property
    def dead_letters(self) -> str:
        """The topic for what fails here."""
        return self.loaded.plan.dead_letters

    def stops_at(self, node: str) -> bool:
        """Whether the pipeline is to stop when that node fails."""
        return self.loaded.plan.step(node).on_error.then == "stop"


def lane_steps(root: str, nodes: Sequence[LiveNode], statistics: Mapping[str, NodeStatistics]) -> tuple[LaneStep, ...]:
    """The nodes behind a root at their places. An input that no message of this root reaches counts as skipped."""
    places = {root: 0} | {node.step.id: index for index, node in enumerate(nodes, 1)}
    return tuple(
        LaneStep(
            position=places[node.step.id],
            id=node.step.id,
            resolve=node.node.resolve,
            batches=node.node if isinstance(node.node, BatchNode) else None,
            parents=tuple(places[parent] for parent in node.step.parents if parent in places),
            value=_value(node, places),
            on_error=node.step.on_error,
            statistics=statistics[node.step.id],
        )
        for node in nodes
    )


def _value(node: LiveNode, places: Mapping[str, int]) -> Callable[[Results], object]:
    """A function that picks the node's input out of a run's results."""
    picks = [(str(source), _pick(source, places)) for source in node.step.inputs]
    if len(picks) == 1:
        return picks[0][1]
    join_all = node.step.join == "all"

    def together(results: Results) -> object:
        given = {name: value for name, pick in picks if (value := pick(results)) is not SKIPPED}
        enough = len(given) == len(picks) if join_all else given
        return given if enough else SKIPPED

    return together


def _pick(source: Source, places: Mapping[str, int]) -> Callable[[Results], object]:
    if source.node not in places:
        return lambda _: SKIPPED
    place = places[source.node]
    if not source.branch:
        return itemgetter(place)

    def branch(results: Results) -> object:
        result = results[place]
        return result.values.get(source.branch, SKIPPED) if isinstance(result, Branches) else SKIPPED

    return branch
