"""A compiled pipeline: what a message of each root goes through, in which order."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipeline_runtime.node_type import Links, NodeParams, NodeType
from schemas.names import LibraryName, ModelRef
from schemas.pipelines import Join, OnError, Queue

Subscribed = tuple[str, Literal[0, 1], str]
"""A topic filter, the QoS it is subscribed to with, and the group that shares its messages; empty: nobody does."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where an input comes from."""

    node: str  # its id
    branch: str = ""  # of that node

    def __str__(self) -> str:
        return f"{self.node}.{self.branch}" if self.branch else self.node


@dataclass(frozen=True, slots=True)
class Step:
    """One node with its parameters checked."""

    id: str
    type: NodeType[Any]
    params: NodeParams
    inputs: tuple[Source, ...]
    join: Join
    on_error: OnError

    @property
    def parents(self) -> tuple[str, ...]:
        """The nodes that it has its inputs from, each once."""
        return tuple(dict.fromkeys(source.node for source in self.inputs))

    @property
    def links(self) -> Links:
        """What the node refers to outside its pipeline."""
        return self.params.links()


@dataclass(frozen=True, slots=True)
class Plan:
    """A pipeline that can run once its links are resolved."""

    name: str
    dead_letters: str  # topic
    queue: Queue
    group: str  # that shares the messages of its roots; empty: nobody does
    steps: tuple[Step, ...]  # inputs before those that need them
    routes: Mapping[str, tuple[Step, ...]]  # node's id → the steps behind it, in order
    roots: tuple[str, ...]  # the nodes whose messages begin runs

    def step(self, node: str) -> Step:
        """The step with that id."""
        return next(step for step in self.steps if step.id == node)

    @property
    def models(self) -> frozenset[ModelRef]:
        """Every model that a node refers to."""
        return frozenset(links.model for links in self._links() if links.model)

    @property
    def libraries(self) -> frozenset[LibraryName]:
        """Every library that a node refers to."""
        return frozenset(links.library for links in self._links() if links.library)

    @property
    def filters(self) -> dict[str, str]:
        """The topic filter of each node that subscribes, by the node's id."""
        return {step.id: step.links.subscribes for step in self.steps if step.links.subscribes}

    @property
    def subscriptions(self) -> tuple[Subscribed, ...]:
        """Filter and QoS of every subscription; what is waited for comes before what starts runs."""
        steps = sorted(self.steps, key=lambda step: not step.inputs)
        links = [(step.links, bool(step.inputs)) for step in steps]
        return tuple(
            (link.subscribes, 0, "") if inside else (link.subscribes, link.qos, self.group)
            for link, inside in links
            if link.subscribes
        )

    def _links(self) -> Iterator[Links]:
        return (step.links for step in self.steps)
