"""The timeline in the control database: every change with its cause, newest last, the oldest forgotten."""

from datetime import datetime

from sqlalchemy import delete, func
from sqlmodel import Session, col, select

from controller.stores.tables import ChangeRow

KEPT = 100_000
"""Lines; with a hundred changes a day that is almost three years."""


def note_change(  # noqa: PLR0913 - a line has so many parts
    session: Session,
    *,
    kind: str,
    subject: str,
    what: str,
    at: datetime,
    edge: str = "",
    cause: str = "",
    by: str = "",
) -> None:
    """Add a line to the timeline, in the transaction of what it tells of. Caller commits.

    Args:
        session: of the change itself.
        kind: one word, such as ``alias``, ``rollout``, ``placed``.
        subject: what was changed, such as ``model iris``.
        what: how, such as ``champion 3 → 4``.
        at: when.
        edge: where; empty: everywhere, or nowhere yet.
        cause: why.
        by: who, as far as that is known.
    """
    session.add(ChangeRow(at=at, kind=kind, subject=subject, edge=edge, what=what, cause=cause, by=by))


def changes(
    session: Session, *, edge: str | None = None, subject: str | None = None, before: int | None = None, limit: int
) -> list[ChangeRow]:
    """Lines of the timeline, newest first.

    Args:
        session: to read with.
        edge: only what changed there, or for all edges.
        subject: only of this.
        before: only those older than the line of this number.
        limit: at most so many.
    """
    wanted = select(ChangeRow).order_by(col(ChangeRow.id).desc()).limit(limit)
    if edge is not None:
        wanted = wanted.where(col(ChangeRow.edge).in_((edge, "")))
    if subject is not None:
        wanted = wanted.where(ChangeRow.subject == subject)
    if before is not None:
        wanted = wanted.where(col(ChangeRow.id) < before)
    return list(session.exec(wanted))


def forget_changes(session: Session, *, kept: int = KEPT) -> int:
    """Delete the lines beyond the newest; returns how many went. Caller commits."""
    newest = session.exec(select(func.max(ChangeRow.id))).one() or 0
    return session.connection().execute(delete(ChangeRow).where(col(ChangeRow.id) <= newest - kept)).rowcount
