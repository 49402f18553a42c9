"""What the controller and the process that measures versions say to each other: one JSON document each way."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from schemas.gates import Rescore
from schemas.queries import Format


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Rival(_Document):
    """A version on the disk."""

    model: Path
    labels: Path | None = None  # a JSON list of names


class ScoringTask(_Document):
    """Controller → process: measure this."""

    candidate: Rival
    champion: Rival | None = None
    rescore: Rescore | None = None
    features: tuple[str, ...] = ()
    rows: Path | None = None  # the holdout
    format: Format = "json"
    budgets: bool = False  # measure latency and memory


class Scores(_Document):
    """Process → controller: what was found."""

    rows: int = 0
    candidate: float | None = None
    champion: float | None = None
    low: float | None = None  # of the candidate's gain: positive is better, whatever the metric
    high: float | None = None
    fault: str = ""  # of the candidate: it fails on the rows, or gives what is no number
    trouble: str = ""  # why the two could not be compared
    latency_ms: float | None = None  # p95
    memory_mb: float | None = None
