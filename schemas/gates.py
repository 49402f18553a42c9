"""What a new version has to show before it is used, and what was found."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from schemas.names import Identifier
from schemas.written import Written

Decision = Literal["promote", "hold", "reject"]
"""``promote``: it is used; ``hold``: a person has to say so; ``reject``: something about it is broken."""

MetricName = Literal[
    "accuracy",
    "balanced_accuracy",
    "f1_macro",
    "f1_weighted",
    "precision_macro",
    "recall_macro",
    "roc_auc",
    "log_loss",
    "mae",
    "mape",
    "r2",
    "rmse",
]
"""Metrics that the controller can compute, as scikit-learn defines them."""

Better = Literal["higher", "lower"]
"""Which way a number is better."""

HIGHER_IS_BETTER: Mapping[MetricName, bool] = {
    "accuracy": True,
    "balanced_accuracy": True,
    "f1_macro": True,
    "f1_weighted": True,
    "precision_macro": True,
    "recall_macro": True,
    "roc_auc": True,
    "log_loss": False,
    "mae": False,
    "mape": False,
    "r2": True,
    "rmse": False,
}


class Threshold(Written):
    """What a metric of the scripts has to be."""

    metric: Identifier
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _one_limit(self) -> "Threshold":
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("exactly one of at_least and at_most is needed")
        return self


class Rescore(Written):
    """Champion and candidate are asked about the same holdout now, by the controller, and compared row by row."""

    metric: MetricName
    target: Identifier  # the column with what is right
    features: tuple[
        Identifier, ...
    ] = ()  # columns in the model's order; default: as `model create-pipeline` finds them
    output: str | None = None  # of the model; default: the one that fits the metric
    wants: Literal["not_worse", "better"] = "not_worse"
    margin: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0  # in the metric's unit
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95  # of the interval of the difference
    resamples: Annotated[PositiveInt, Field(le=100_000)] = 1000


class Budgets(Written):
    """What a version may take at most."""

    file_mb: PositiveFloat | None = None  # all its files
    latency_ms: PositiveFloat | None = None  # p95 of single rows, with one thread, on the controller
    memory_mb: PositiveFloat | None = None  # by which a process grows that loads and asks it


class Trial(Written):
    """What a candidate has to show on live messages, asked beside the champion by the shadows of deployments."""

    messages: PositiveInt = 1000  # that it was asked, on all edges together, before it is judged by them
    disagreement: Annotated[float, Field(ge=0, le=1)] | None = None  # so large a part of its answers may differ
    failed: Annotated[float, Field(ge=0, le=1)] = 0.0  # so large a part of the messages it may fail on
    latency_ms: PositiveFloat | None = None  # on average, for an answer; on the edges


class Gate(Written):
    """Whether a new version becomes the model's champion."""

    policy: Literal["manual", "auto_promote", "auto_promote_and_deploy"] = "auto_promote_and_deploy"
    metric: Identifier | None = None  # of the scripts', compared with the champion's; None: not compared
    better: Better | None = None  # which way that metric is; default: as the job says
    tolerance: Annotated[float, Field(ge=0)] = 0.0  # how much worse than the champion is still good
    thresholds: tuple[Threshold, ...] = ()
    rescore: Rescore | None = None  # of a job: needs its `holdout`
    budgets: Budgets | None = None
    trial: Trial | None = None  # once everything else has passed

    @model_validator(mode="after")
    def _has_what_is_better(self) -> "Gate":
        if self.better is not None and self.metric is None:
            raise ValueError("better says which way `metric` is, and there is no metric")
        return self

    @property
    def deploys(self) -> bool:
        """Whether deployments follow the champion at once; else they wait for a person's approval."""
        return self.policy != "auto_promote"

    @property
    def measures(self) -> bool:
        """Whether the version has to be loaded and asked."""
        return self.rescore is not None or self.budgets is not None

    def faults(self, metrics: Mapping[str, Better], *, holdout: bool) -> Iterator[str]:
        """What it asks for and a job with these metrics does not give; each begins with the gate's key."""
        if self.metric is not None and self.metric not in metrics:
            yield f"metric {self.metric!r} is none of the job's metrics"
        elif self.metric is not None and self.better not in {None, metrics[self.metric]}:
            yield f"better: {self.metric} is better when {self.better}, but the job says {metrics[self.metric]}"
        unknown = [one.metric for one in self.thresholds if one.metric not in metrics]
        if unknown:
            yield f"thresholds: {unknown[0]!r} is none of the job's metrics"
        if self.rescore is not None and not holdout:
            yield "rescore needs a `holdout`: the rows that both versions are asked about"


class GateCheck(BaseModel):
    """One thing that was looked at."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    name: str  # such as threshold accuracy, rescored f1_macro, latency_ms
    passed: bool | None  # None: it could not be told
    value: float | None = None
    rival: float | None = None  # of the champion
    limit: float | None = None
    low: float | None = None  # of the interval of the difference, in favour of the candidate
    high: float | None = None
    detail: str = ""


class PendingTrial(BaseModel):
    """What a candidate still has to show, and what comes of it."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    asks: Trial
    asked: NonNegativeInt = 0  # messages so far, by what edges reported last
    deploys: bool = True  # whether deployments follow it at once when it becomes the champion


class GateResult(BaseModel):
    """What a gate found of a version."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    decision: Decision
    reason: str
    checks: tuple[GateCheck, ...] = ()
    champion: PositiveInt | None = None  # that it was compared with
    rows: NonNegativeInt = 0  # of the holdout
    trial: PendingTrial | None = None  # it is held until that is done
    by: str = ""  # a person, who decided in its place, or a model's gate, and for whom; empty: the job's gate
    at: AwareDatetime
