"""Which blobs the control database refers to: every digest that is written anywhere in its documents."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlmodel import Session, col

from controller.stores.rollouts import contents_in_use
from controller.stores.tables import EdgeRow, JobRow, LibraryRow, PipelineRow, RunRow, VersionRow
from schemas.names import BlobDigest
from schemas.runs import LIVE

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ROWS_AT_ONCE = 200


@dataclass(slots=True)
class References:
    """The blobs that rows name, and those among them that are documents, which name others in their turn."""

    blobs: set[BlobDigest] = field(default_factory=set)
    documents: set[BlobDigest] = field(default_factory=set)


def blob_references(session: Session) -> References:
    """What all rows refer to, in one state of the database.

    A document is searched for digests and not read: one that is found where it refers to no blob does no harm, and
    what a later schema adds is found too.
    """
    found = References()
    for column in (RunRow.task, EdgeRow.wanted):
        found.documents.update(_digests(session, [column]))
    for content in contents_in_use(session):
        found.documents.update(digests_in(content))
    found.blobs.update(found.documents)
    for columns in _COLUMNS:
        found.blobs.update(_digests(session, columns))
    # Of no other run are the values needed that are sealed in it.
    found.blobs.update(_digests(session, [RunRow.secrets], col(RunRow.state).in_(LIVE)))
    return found


def digests_in(text: str) -> Iterator[BlobDigest]:
    """Every digest in a text."""
    return (match[0] for match in _DIGEST.finditer(text))


_COLUMNS: list[list[Any]] = [
    [RunRow.spec, RunRow.data, RunRow.holdout, RunRow.exited],
    [VersionRow.card, VersionRow.card_blob],
    [PipelineRow.spec, PipelineRow.blob],
    [LibraryRow.spec],
    [JobRow.spec],
]


def _digests(session: Session, columns: list[Any], *where: ColumnElement[bool]) -> Iterator[BlobDigest]:
    wanted = select(*columns).where(*where).execution_options(yield_per=_ROWS_AT_ONCE)
    for row in session.connection().execute(wanted):
        for text in row:
            yield from digests_in(text or "")
