"""The history of aliases: every move, which of them can be taken back, and whether somebody else was faster."""

from datetime import datetime

from sqlmodel import Session, col, select

from controller.stores.changes import note_change
from controller.stores.tables import AliasMoveRow, AliasRow
from schemas.errors import Conflict, NotFound, Stale


def note_move(session: Session, *, move: AliasMoveRow) -> int:
    """Put a move into the history and onto the timeline; returns its id. Caller commits."""
    session.add(move)
    session.flush()
    before, after = (_number(version) for version in (move.previous, move.version))
    what = f"{move.alias} {before} → {after}"
    note_change(
        session, kind="alias", subject=f"model {move.model}", what=what, at=move.at, cause=move.reason, by=move.by
    )
    return move.id or 0


def moves(
    session: Session, *, model: str, alias: str | None = None, before: int | None = None, limit: int
) -> list[AliasMoveRow]:
    """Up to ``limit`` moves of one alias or of all that a model has, newest first, older than the id ``before``."""
    wanted = select(AliasMoveRow).where(AliasMoveRow.model == model)
    if alias is not None:
        wanted = wanted.where(AliasMoveRow.alias == alias)
    if before is not None:
        wanted = wanted.where(col(AliasMoveRow.id) < before)
    return list(session.exec(wanted.order_by(col(AliasMoveRow.id).desc()).limit(limit)))


def last_to_undo(session: Session, *, model: str, alias: str) -> AliasMoveRow | None:
    """The newest move that was neither taken back nor takes back another one."""
    of_alias = AliasMoveRow.model == model, AliasMoveRow.alias == alias
    undone = select(AliasMoveRow.undoes).where(*of_alias, col(AliasMoveRow.undoes).is_not(None))
    standing = select(AliasMoveRow).where(
        *of_alias, col(AliasMoveRow.undoes).is_(None), col(AliasMoveRow.id).not_in(undone)
    )
    return session.exec(standing.order_by(col(AliasMoveRow.id).desc()).limit(1)).first()


def get_alias(session: Session, *, model: str, alias: str) -> AliasRow:
    """An alias. Raises NotFound."""
    row = session.get(AliasRow, (model, alias))
    if row is None:
        raise NotFound(f"model {model!r} has no alias {alias!r}")
    return row


def drop_alias(session: Session, *, model: str, alias: str, reason: str, by: str, now: datetime) -> None:
    """Remove an alias; its history stays. Caller commits, and has seen that nothing needs it. Raises NotFound."""
    row = get_alias(session, model=model, alias=alias)
    move = AliasMoveRow(model=model, alias=alias, version=None, previous=row.version, at=now, by=by, reason=reason)
    note_move(session, move=move)
    session.delete(row)
    session.flush()


def refuse_moved(session: Session, *, model: str, alias: str, revision: int | None) -> None:
    """Raise when an alias is not what somebody saw: at this revision, or for None not there at all.

    Raises:
        Stale: it was moved or removed; the message says what it is now, and who moved it.
        Conflict: it was to be made, and is there.
    """
    row = session.get(AliasRow, (model, alias))
    if (row.revision if row else None) == revision:
        return
    if revision is None:
        raise Conflict(f"model {model} has an alias {alias} already: {_standing(session, model, alias)}")
    raise Stale(f"{alias} of {model} was moved meanwhile: {_standing(session, model, alias)}; look, and decide again")


def _standing(session: Session, model: str, alias: str) -> str:
    last = next(iter(moves(session, model=model, alias=alias, limit=1)), None)
    if last is None:
        return "it is not there"
    what = "it was removed" if last.version is None else f"it stands for version {last.version}"
    by = f", moved by {last.by}" if last.by else ""
    why = f" ({last.reason})" if last.reason else ""
    return f"{what} since {last.at:%Y-%m-%d %H:%M:%S} UTC{by}{why}"


def _number(version: int | None) -> str:
    return "none" if version is None else str(version)
