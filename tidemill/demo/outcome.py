"""What a finished demonstration tells programs."""

from uuid import UUID

from pydantic import BaseModel


class RunOutcome(BaseModel):
    """A run that trained."""

    id: UUID
    state: str
    duration_s: float  # from being due to its end
    script_s: float | None


class VersionOutcome(BaseModel):
    """A version that came of it."""

    version: int
    rows: int  # that it was trained on
    metrics: dict[str, float]


class MessageCounts(BaseModel):
    """What became of the flowers that were sent to the pipeline."""

    sent: int = 0
    answered: int = 0
    lost: int = 0
    failed: int = 0


class Outcome(BaseModel):
    """The object that ``tidemill demo --once --json`` prints."""

    executor: str
    broker: str
    elapsed_s: float
    rows_published: int
    runs: tuple[RunOutcome, ...]
    versions: tuple[VersionOutcome, ...]
    messages: MessageCounts
