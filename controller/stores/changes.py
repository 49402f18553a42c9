"""The timeline: one line for each thing that changed on an edge or for all, with its cause."""

from datetime import datetime

from sqlmodel import Session

from controller.stores.tables import ChangeRow


def note_change(  # noqa: PLR0913 - a line's columns
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
    """Add a line to the timeline. Caller commits.

    Args:
        session: of the change itself.
        kind: such as ``alias``.
        subject: such as ``model iris``.
        what: such as ``champion 3 → 4``.
        at: when it changed.
        edge: on which it changed; empty: for all.
        cause: why.
        by: who or what changed it.
    """
    session.add(ChangeRow(kind=kind, subject=subject, what=what, at=at, edge=edge, cause=cause, by=by))
