"""The window node: what its parameters are; ``window_node.py`` is what it does."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from pipeline_runtime.language.expressions import ExpressionText
from pipeline_runtime.node_type import Fittings, Node, NodeParams, NodeType
from pipeline_runtime.windows.panes import Grid
from schemas.names import Duration, Identifier

Use = Literal["count", "sum", "mean", "min", "max", "first", "last", "stddev", "median", "quantile", "rows"]
RESERVED = frozenset({"key", "start", "end", "count", "late"})
_MOST_PANES = 1000  # of one window
_LEAST_S = 0.001


class Value(BaseModel):
    """One of the values that a window gives."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    use: Use = Field(description="What is made of the rows' values; nothing and null are left out.")
    of: ExpressionText | None = Field(
        None, description="The value of a row, in JSONata; not needed for count and rows."
    )
    q: Annotated[float, Field(ge=0, le=1)] | None = Field(None, description="With `quantile`: which, from 0 to 1.")

    @model_validator(mode="after")
    def _complete(self) -> "Value":
        if self.of is None and self.use not in {"count", "rows"}:
            raise ValueError(f"{self.use} of what? give it `of`")
        if (self.q is None) is (self.use == "quantile"):
            raise ValueError("a quantile needs `q`, such as 0.95, and nothing else has one")
        return self


class Params(NodeParams):
    """How long windows are, what belongs together, and what is made of it."""

    size: Duration | None = Field(None, description="How long a window is; or give `count`.")
    count: Annotated[int, Field(ge=1, le=100_000)] | None = Field(None, description="How many rows a window has.")
    every: Duration | None = Field(
        None, description="How often a window begins, if windows overlap: a duration, or with `count` a number of rows."
    )
    time: ExpressionText | None = Field(
        None,
        description="A row's time, in JSONata: seconds since 1970, or an ISO 8601 text; by default, when it comes.",
    )
    late: Duration | None = Field(None, description="With `time`: how much later than others a row may come (0).")
    ahead: Duration | None = Field(
        86400.0,
        description="With `time`: a row whose time is further ahead of the clock fails, as one of a wrong clock.",
    )
    idle: Duration | None = Field(None, description="Open windows close when no row has come for so long.")
    by: ExpressionText | None = Field(None, description="What windows are apart by, in JSONata: a text or a number.")
    values: Annotated[dict[Identifier, Value], Field(max_length=100)] = Field(
        {}, description="What a window gives beside its key, its beginning, its end and its count."
    )

    @field_validator("every", mode="before")
    @classmethod
    def _counted_in_rows(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, str) and info.data.get("count") is not None:
            raise ValueError(f"with `count`, a number of rows, such as 1, and {value!r} is a time; or give `size`")
        return value

    @property
    def grid(self) -> Grid:
        """Where windows begin and end: in microseconds, or with ``count`` in rows."""
        if self.count is not None:
            return Grid(self.count, round(self.every or self.count))
        size_s = self.size or 0.0
        return Grid(round(size_s * 1e6), round((self.every or size_s) * 1e6))

    @model_validator(mode="after")
    def _fits(self) -> "Params":
        if (self.size is None) is (self.count is None):
            raise ValueError("a window has either a `size`, such as 10s, or a `count` of rows")
        if names := RESERVED.intersection(self.values):
            raise ValueError(f"values: {', '.join(sorted(names))} is what a window has anyway; take another name")
        self._check_grid()
        if self.time is None and self.late is not None:
            raise ValueError("late: rows are only late with a `time` of their own")
        if self.time is None and self.ahead is not None and "ahead" in self.model_fields_set:
            raise ValueError("ahead: rows are only ahead of the clock with a `time` of their own")
        if self.count is not None and self.time is not None:
            raise ValueError("time: a window of `count` rows takes them as they come")
        if self.idle is not None and self.size is not None and self.time is None:
            raise ValueError("idle: without `time`, windows close by the clock anyway")
        if self.idle is not None and self.count is not None and self.every not in {None, self.count}:
            raise ValueError("idle: windows of `count` rows that overlap are never closed before they are full")
        return self

    def _check_grid(self) -> None:
        if self.size is not None and min(self.size, self.every or self.size) < _LEAST_S:
            raise ValueError("size and every: no less than 1ms")
        if self.count is not None and self.every is not None and self.every % 1:
            raise ValueError("every: with `count`, a whole number of rows")
        if self.every is not None and self.every > (self.size or self.count or 0):
            raise ValueError("every: no more than a window holds, or rows would belong to none")
        if self.grid.size // self.grid.pane > _MOST_PANES:
            raise ValueError(f"every: make it divide the window into at most {_MOST_PANES} parts")


def make(params: Params, fittings: Fittings) -> Node:
    """The node itself. Who only checks pipelines needs no SQLite."""
    from pipeline_runtime.windows.window_node import WindowNode  # noqa: PLC0415

    return WindowNode(params, fittings)


NODE = NodeType(
    name="window",
    params=Params,
    make=make,
    doc="Gathers rows in windows of time or number, and gives what a window has when it is over.",
    example="{id: minute, type: window, size: 1m, by: machine, values: {t: {use: mean, of: temperature}}, "
    "inputs: [in]}",
    may_skip=True,
    keeps_state=True,
)
