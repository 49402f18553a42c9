"""The rows that versions are asked about when they are compared: frozen once, and trained on by no run."""

from dataclasses import dataclass

from sqlmodel import Session

from controller.stores.models import newest_with_holdout
from controller.training import job_of
from schemas.jobs import JobSpec
from schemas.models import DataSelection, ModelVersion


@dataclass(frozen=True, slots=True)
class FrozenRows:
    """A holdout, and what is known of its columns."""

    holdout: DataSelection
    card: ModelVersion  # that it was frozen with
    job: JobSpec | None  # that trained it, as it was then


def own_rows(card: ModelVersion, job: JobSpec | None) -> FrozenRows | None:
    """Those that a version was trained beside; None if there are none."""
    holdout = card.lineage.holdout
    return FrozenRows(holdout, card, job) if holdout is not None else None


def rows_for(session: Session, *, model: str, champion: ModelVersion | None) -> FrozenRows | None:
    """Those for a version that was not trained here: the champion's, or else those of the newest that has some."""
    has_some = champion is not None and champion.lineage.holdout is not None and not champion.lineage.imported
    card = champion if has_some else newest_with_holdout(session, model=model)
    return own_rows(card, job_of(session, card)) if card is not None else None
