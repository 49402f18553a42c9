"""The dead letters of pipelines in the control database: the newest of each are kept."""

import hashlib
from collections.abc import Collection
from datetime import datetime

from sqlalchemy import delete, func, or_
from sqlalchemy.orm import defer
from sqlmodel import Session, col, select

from controller.stores.tables import DeadLetterRow, PipelineRow
from schemas.dead_letters import DeadLetter
from schemas.errors import NotFound
from schemas.payload_text import as_text
from schemas.pipeline_views import DeadLetterContent, DeadLetterView

KEPT = 1000
KEPT_BYTES = 100_000_000
"""Of each pipeline's payloads; the oldest go first, whichever of the two is exceeded."""


def digest_of(letter: bytes) -> str:
    """What tells a letter that is delivered again from another one: each holds its time in microseconds."""
    return hashlib.sha256(letter).hexdigest()


def keep_letters(session: Session, *, letters: dict[str, DeadLetter]) -> None:
    """Add letters, by their digests, unless they are there, and forget the oldest beyond what is kept. Caller commits.

    Those of pipelines that nobody declared are not kept.
    """
    known = set(session.exec(select(PipelineRow.name).distinct()))
    there = set(session.exec(select(DeadLetterRow.digest).where(col(DeadLetterRow.digest).in_(letters))))
    fresh = {digest: one for digest, one in letters.items() if digest not in there and one.pipeline in known}
    for digest, letter in fresh.items():
        session.add(_row(digest, letter))
    session.flush()
    for pipeline in {letter.pipeline for letter in fresh.values()}:
        _forget_oldest(session, pipeline)


def _row(digest: str, letter: DeadLetter) -> DeadLetterRow:
    return DeadLetterRow(
        digest=digest,
        pipeline=letter.pipeline,
        version=letter.version,
        at=letter.at,
        topic=letter.topic,
        node=letter.node,
        error=letter.error,
        truncated=letter.truncated,
        size_bytes=len(letter.message),
        payload=letter.message,
    )


def _forget_oldest(session: Session, pipeline: str) -> None:
    newest_first = col(DeadLetterRow.id).desc()
    counted = (
        select(
            DeadLetterRow.id,
            func.row_number().over(order_by=newest_first).label("place"),
            func.sum(DeadLetterRow.size_bytes).over(order_by=newest_first).label("together"),
        )
        .where(DeadLetterRow.pipeline == pipeline)
        .subquery()
    )
    beyond = select(counted.c.id).where(or_(counted.c.place > KEPT, counted.c.together > KEPT_BYTES))
    session.exec(delete(DeadLetterRow).where(col(DeadLetterRow.id).in_(beyond)))


def list_letters(session: Session, *, pipeline: str, before: int | None, limit: int) -> list[DeadLetterView]:
    """The pipeline's letters, newest first, from the one before ``before`` on."""
    wanted = select(DeadLetterRow).where(DeadLetterRow.pipeline == pipeline)
    if before is not None:
        wanted = wanted.where(col(DeadLetterRow.id) < before)
    wanted = wanted.order_by(col(DeadLetterRow.id).desc()).limit(limit)
    rows = session.exec(wanted.options(defer(DeadLetterRow.payload)))  # type: ignore[arg-type] # is a column there
    return [letter_view(row) for row in rows]


def get_letter(session: Session, *, pipeline: str, number: int) -> DeadLetterRow:
    """One letter. Raises NotFound."""
    row = session.get(DeadLetterRow, number)
    if row is None or row.pipeline != pipeline:
        raise NotFound(
            f"pipeline {pipeline!r} has no dead letter {number}; `tidemill pipeline dead-letters list` has all"
        )
    return row


def note_retry(session: Session, *, pipeline: str, number: int, now: datetime) -> DeadLetterRow:
    """Note that a letter's message was published again. Raises NotFound. Caller commits."""
    row = get_letter(session, pipeline=pipeline, number=number)
    row.retried_at = now
    session.add(row)
    return row


def drop_letters(session: Session, *, pipeline: str, numbers: Collection[int] | None) -> int:
    """Forget letters, or, for None, all of the pipeline's; returns how many. Caller commits."""
    chosen = delete(DeadLetterRow).where(col(DeadLetterRow.pipeline) == pipeline)
    if numbers is not None:
        chosen = chosen.where(col(DeadLetterRow.id).in_(numbers))
    return session.exec(chosen).rowcount


def letter_view(row: DeadLetterRow) -> DeadLetterView:
    """A letter without its payload."""
    return DeadLetterView.model_validate(_facts(row))


def letter_content(row: DeadLetterRow) -> DeadLetterContent:
    """A letter with its payload."""
    payload, encoding = as_text(row.payload)
    return DeadLetterContent.model_validate({**_facts(row), "payload": payload, "encoding": encoding})


def _facts(row: DeadLetterRow) -> dict[str, object]:
    return {name: getattr(row, name) for name in DeadLetterView.model_fields}
