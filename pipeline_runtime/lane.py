"""A root's part of a pipeline, made ready: what its messages go through, and what they share."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline_runtime.inbox import Inbox
from pipeline_runtime.node_type import Node
from pipeline_runtime.plan import Source
from pipeline_runtime.turns import Order
from schemas.pipelines import OnError


@dataclass(frozen=True, slots=True)
class LiveStep:
    """A node that is ready to run, and where its input comes from."""

    id: str
    inputs: tuple[Source, ...]
    parents: tuple[str, ...]
    join_all: bool  # skipped when any input is; else only when all are
    on_error: OnError
    node: Node


@dataclass(frozen=True, slots=True)
class Lane:
    """What the messages of one root go through."""

    root: str
    steps: tuple[LiveStep, ...]  # inputs before those that need them
    order: Order
    inboxes: Mapping[str, Inbox]  # by the id of the mqtt_sub in the middle
    pipeline: str
    version: int
    dead_letters: str  # topic
