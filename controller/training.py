"""What is known of how a version was trained: its rows' columns, and what its job says of features."""

import logging

from sqlmodel import Session

from controller.data.training_columns import numeric_columns
from controller.inference_pipelines import Trained
from controller.stores.tables import RunRow
from schemas.errors import NotFound
from schemas.jobs import JobSpec
from schemas.models import ModelVersion
from transport.blob_store import BlobDirectory

log = logging.getLogger(__name__)


def job_of(session: Session, card: ModelVersion) -> JobSpec | None:
    """The job as it was when it trained the version; None if the run is forgotten, or there was none."""
    row = session.get(RunRow, card.lineage.run_id) if card.lineage.run_id else None
    return JobSpec.model_validate_json(row.spec) if row else None


def trained_on(card: ModelVersion, job: JobSpec | None, blobs: BlobDirectory) -> Trained:
    """What can be told. Blocks: it looks into the first rows of each query."""
    try:
        columns = tuple(
            numeric_columns(blobs.path(selection.blob.digest), selection.format) for selection in card.lineage.data
        )
    except (NotFound, OSError, ValueError, ImportError) as error:  # then a person has to say it
        log.warning("training rows not read", extra={"model": card.name, "version": card.version, "reason": str(error)})
        columns = ()
    return Trained(columns, _named(job))


def _named(job: JobSpec | None) -> tuple[str, ...]:
    named = job.params.get("features") if job else None
    names = [name for name in named if isinstance(name, str)] if isinstance(named, list) else []
    return tuple(names) if names == named else ()
