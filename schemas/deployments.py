"""What edges shall hold and run, how they are moved to it, and how one sees whether it does well there."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

from schemas.names import Duration, EdgeName, ModelRef, Name
from schemas.written import Written

Ratio = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


def _amount(value: int | str) -> int | str:
    if isinstance(value, str) and not re.fullmatch(r"(100|[1-9]\d?)%", value):
        raise ValueError(f"{value!r} is no number of edges; write a count such as 5, or a part such as 25%")
    return value


Amount = Annotated[PositiveInt | str, AfterValidator(_amount)]
"""Some edges: a count, or a part of all such as ``25%``."""


class AbortOn(Written):
    """When a rollout is aborted by itself, and all its edges go back."""

    edges: NonNegativeInt = 0  # so many edges may fail to load it, or go back by themselves
    failed: Ratio | None = None  # of an edge's messages
    p95: Duration | None = None  # of a message's way through the pipeline, on an edge; to a factor of two
    disagreement: Ratio | None = None  # between model and shadow, on an edge
    min_messages: PositiveInt = 20  # before an edge has had so many, the last three are not judged


DEADLINE_S = 3600.0
"""Of batches and canaries: 400 MB come in it at 1 Mbit/s. Waiting harms nobody; aborting what was only slow does."""


class RolloutPlan(Written):
    """How edges are moved to what their deployment stands for."""

    strategy: Literal["all_at_once", "batches", "canary"] = "all_at_once"
    canary: Amount = 1  # edges of the first step
    batch: Amount = "100%"  # edges of each further step
    order_by: str | None = None  # the label by which edges are ordered: numbers as numbers; then by name
    bake: Duration | None = None  # so long all edges of a step must do well before the next
    deadline: Duration | None = (
        None  # an edge that needs longer has failed; default: batches and canaries 1h, else none
    )
    approve: Literal["never", "before", "after_canary"] = "never"  # when a person has to
    abort_on: AbortOn | None = None  # default: of batches and canaries, one edge that fails; else never

    @model_validator(mode="after")
    def _fits_its_strategy(self) -> "RolloutPlan":
        if self.approve == "after_canary" and self.strategy != "canary":
            raise ValueError("approve: after_canary is of strategy: canary")
        for field, strategies in (("canary", {"canary"}), ("batch", {"canary", "batches"})):
            if getattr(self, field) != type(self).model_fields[field].default and self.strategy not in strategies:
                raise ValueError(f"`{field}` is not of strategy: {self.strategy}")
        return self

    @property
    def limits(self) -> AbortOn | None:
        """When it is aborted; None: never by itself."""
        return self.abort_on or (None if self.strategy == "all_at_once" else AbortOn())

    @property
    def deadline_s(self) -> float | None:
        """How long an edge that was told, and is there, may need; None: as long as it takes."""
        return self.deadline or (None if self.strategy == "all_at_once" else DEADLINE_S)


class Health(Written):
    """What an edge itself watches after a change, to go back by itself, also without a connection."""

    watch: Duration = 60.0
    min_messages: PositiveInt = 20
    failed: Ratio = 0.5
    p95: Duration | None = None


class Shadow(Written):
    """A candidate that is asked what a model of the pipeline is asked, and answers nobody."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
    model: ModelRef  # as the pipeline's nodes write it
    candidate: Annotated[ModelRef, Field(alias="with")]


class DeploymentSpec(Written):
    """The wish that edges, by name or by labels, run a pipeline or hold a model."""

    name: Name
    edges: tuple[EdgeName, ...] = ()
    labels: dict[str, str] = {}
    pipeline: Name | None = None  # its newest version
    model: ModelRef | None = None
    rollout: RolloutPlan = RolloutPlan()
    health: Health | None = None  # of a pipeline; None: edges keep what they could load, whatever it does
    shadow: Shadow | None = None  # of a pipeline

    @model_validator(mode="after")
    def _one_thing_somewhere(self) -> "DeploymentSpec":
        if (self.pipeline is None) == (self.model is None):
            raise ValueError("a deployment is of either a `pipeline` or a `model`")
        if not self.edges and not self.labels:
            raise ValueError("a deployment names its `edges`, or `labels` that edges must have")
        if self.pipeline is None and (self.health is not None or self.shadow is not None):
            raise ValueError("`health` and `shadow` are of a `pipeline`: a model by itself answers nothing")
        return self
