"""What the messages of one root go through, made ready, and what they share."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter

from pipeline_runtime.node_type import SKIPPED, BatchNode, Branches, RootNode
from pipeline_runtime.running.inbox import Inbox
from pipeline_runtime.running.loaded import LiveNode, Loaded
from pipeline_runtime.running.statistics import NodeStatistics
from pipeline_runtime.running.turns import Orders
from schemas.pipelines import OnError


class Pending:
    """Stands where a result is still to come."""


PENDING = Pending()

Results = Sequence[object]
"""What the nodes of a run gave, by position; the root's is the first."""


@dataclass(frozen=True, slots=True)
class LaneStep:
    """A node at its place in a lane."""

    position: int
    id: str
    resolve: Callable[..., object]  # its node's
    batches: BatchNode | None  # the node, if it is one
    value: Callable[[Results], object]  # its input; SKIPPED when it is not to run, PENDING when it is still to come
    on_error: OnError
    statistics: NodeStatistics


@dataclass(frozen=True, slots=True)
class Stretch:
    """Steps that each message goes by itself, and one that all are to be at then, to be answered at once."""

    alone: tuple[LaneStep, ...]
    together: LaneStep | None  # None: the last stretch


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
    whole: tuple[Stretch, ...] = field(init=False)  # the steps for one message,
    stretches: tuple[Stretch, ...] = field(init=False)  # and for several: cut behind each that can answer all at once
    ids: tuple[str, ...] = field(init=False)  # of the root and the steps, by position

    def __post_init__(self) -> None:
        self.whole = (Stretch(self.steps, None),)
        self.stretches = tuple(_stretches(self.steps))
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
            value=_value(node, places),
            on_error=node.step.on_error,
            statistics=statistics[node.step.id],
        )
        for node in nodes
    )


def _stretches(steps: Sequence[LaneStep]) -> Iterator[Stretch]:
    alone: list[LaneStep] = []
    for step in steps:
        if step.batches is None:
            alone.append(step)
        else:
            yield Stretch(tuple(alone), step)
            alone = []
    yield Stretch(tuple(alone), None)


def _value(node: LiveNode, places: Mapping[str, int]) -> Callable[[Results], object]:
    """A function that picks the node's input out of a run's results."""
    sources = [
        (str(source), places[source.node], source.branch) for source in node.step.inputs if source.node in places
    ]
    if len(node.step.inputs) == 1:
        (_, place, branch) = sources[0]
        return partial(_of_branch, place, branch) if branch else itemgetter(place)
    fewest = len(node.step.inputs) if node.step.join == "all" else 1

    def together(results: Results) -> object:
        given = {}
        for name, place, branch in sources:
            value = _of_branch(place, branch, results) if branch else results[place]
            if value is PENDING:
                return PENDING
            if value is not SKIPPED:
                given[name] = value
        return given if len(given) >= fewest else SKIPPED

    return together


def _of_branch(place: int, branch: str, results: Results) -> object:
    result = results[place]
    if isinstance(result, Branches):
        return result.values.get(branch, SKIPPED)
    return PENDING if result is PENDING else SKIPPED
