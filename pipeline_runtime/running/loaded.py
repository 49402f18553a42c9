"""A pipeline in memory: its nodes, opened and closed."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from pipeline_runtime.compiling.plan import Plan, Step
from pipeline_runtime.node_type import Node
from pipeline_runtime.running.statistics import WayStatistics
from schemas.errors import BadInput, TidemillError
from schemas.names import LibraryName, ModelRef

if TYPE_CHECKING:  # the controller knows nodes, and must not load onnxruntime for that
    from pipeline_runtime.libraries.library_module import Library
    from pipeline_runtime.models.onnx_model import OnnxModel

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LiveNode:
    """A node of a plan that is ready to run."""

    step: Step
    node: Node


@dataclass(slots=True, eq=False)
class Loaded:
    """A plan with everything it needs in memory."""

    plan: Plan
    version: int
    models: "Mapping[ModelRef, OnnxModel]"
    libraries: "Mapping[LibraryName, Library]"
    nodes: dict[str, LiveNode] = field(default_factory=dict)  # by the node's id
    left_out: dict[str, str] = field(default_factory=dict)  # why an optional node does nothing, by its id
    on_disk: bool = False  # nodes that keep state find it again when they are opened anew
    runs: int = 0  # that have begun with it and not ended
    since: datetime | None = None  # it answers since then
    ways: WayStatistics = field(default_factory=WayStatistics)
    _open: list[LiveNode] = field(default_factory=list)

    async def open(self) -> None:
        """Open every node that is not open.

        Raises:
            BadInput: naming the node that cannot be opened; those that were opened are closed again.
        """
        for live in self.nodes.values():
            if live in self._open:
                continue
            try:
                with named(live.step):
                    await live.node.open()
            except BaseException:
                await self.close()
                raise
            self._open.append(live)

    async def close(self) -> None:
        """Close every node that is open, for good; what goes wrong with one does not keep the others open."""
        await self._close(self._open)
        self.nodes.clear()  # some know this object: it is let go now, not when the garbage collector comes round

    @property
    def keeping(self) -> list[str]:
        """The nodes that have on disk what they have emitted, until its run has ended."""
        return [step.id for step in self.plan.steps if step.type.keeps_state and self.on_disk]

    async def close_stateful(self) -> None:
        """Close the nodes that keep state, so that those of the next version find it whole."""
        await self._close([live for live in self._open if live.step.type.keeps_state])

    def shares_state_with(self, other: "Loaded") -> bool:
        """Whether a node of the other has its state where one of these has it."""
        ours = {step.id for step in self.plan.steps if step.type.keeps_state}
        return any(step.id in ours for step in other.plan.steps if step.type.keeps_state)

    async def _close(self, nodes: list[LiveNode]) -> None:
        for live in list(nodes):
            self._open.remove(live)
            try:
                await live.node.close()
            except Exception:
                log.exception("node not closed", extra={"node": live.step.id})


@contextmanager
def named(step: Step) -> Iterator[None]:
    """Name the node in what goes wrong in the block."""
    try:
        yield
    except TidemillError as error:
        raise BadInput(f"node {step.id!r}: {error}") from error
