"""What people change of a registered model: its description, notes and tags, and taking versions or all of it away."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import delete, func
from sqlmodel import Session, col, select

from controller.stores.alias_moves import drop_alias, last_to_undo
from controller.stores.changes import note_change
from controller.stores.model_uses import uses_of, uses_of_alias
from controller.stores.models import get_model, get_version_row, move_alias
from controller.stores.tables import AliasMoveRow, AliasRow, GateResultRow, ModelRow, VersionRow
from schemas.errors import BadInput, Conflict, NotFound

MOST_TAGS = 50


def annotate(session: Session, *, model: str, version: int, note: str | None, tags: Mapping[str, str | None]) -> None:
    """Write a version's note if one is given, and set these tags, or with None remove them. Caller commits.

    Raises:
        NotFound: there is no such version.
        BadInput: these would be too many tags.
    """
    row = get_version_row(session, model=model, version=version)
    kept = {**tags_of(row), **tags}
    left = {key: value for key, value in sorted(kept.items()) if value is not None}
    if len(left) > MOST_TAGS:
        raise BadInput(f"version {version} of {model} would have {len(left)} tags; {MOST_TAGS} is the most")
    row.note = row.note if note is None else note
    row.tags = json.dumps(left)
    session.add(row)


def tags_of(row: VersionRow) -> dict[str, str]:
    """The tags of a version."""
    tags: dict[str, str] = json.loads(row.tags)
    return tags


def remove_alias(session: Session, *, model: str, alias: str, reason: str, by: str, now: datetime) -> None:
    """Remove an alias that nothing follows. Caller commits. Raises NotFound, or Conflict that names what does."""
    if needed := uses_of_alias(session, model=model, alias=alias):
        raise Conflict(f"alias {alias} of {model} is not removed: {_listed(needed)}")
    drop_alias(session, model=model, alias=alias, reason=reason, by=by, now=now)


def roll_back(session: Session, *, model: str, alias: str, reason: str, by: str, now: datetime) -> None:
    """Move an alias back to what it stood for before its last move that still stands. Caller commits.

    Raises:
        NotFound: there is no such model, or it never had the alias.
        Conflict: it stood for nothing before, or that version is gone.
    """
    get_model(session, name=model)
    last = last_to_undo(session, model=model, alias=alias)
    if last is None or last.id is None:
        raise NotFound(f"model {model!r} has no alias {alias!r}, and never had one")
    if last.previous is None:
        raise Conflict(f"{alias} of {model} stood for nothing before version {last.version}: there is no way back")
    if session.get(VersionRow, (model, last.previous)) is None:
        raise Conflict(
            f"{alias} of {model} stood for version {last.previous} before, which is deleted; "
            f"choose another one with: tidemill model promote {model}:VERSION --alias {alias}"
        )
    move_alias(session, model=model, alias=alias, version=last.previous, reason=reason, now=now, by=by, undoes=last.id)


def delete_version(session: Session, *, model: str, version: int, by: str, now: datetime) -> None:
    """Delete a version that nothing needs; its files go with the next sweep of the blobs. Caller commits.

    Raises:
        NotFound: there is no such version.
        Conflict: something needs it; the message names all that does.
    """
    get_version_row(session, model=model, version=version)
    needed = [use.what for use in uses_of(session, model=model) if use.version == version]
    first = session.exec(select(func.min(VersionRow.version)).where(VersionRow.model == model)).one()
    if version == first:
        needed.insert(0, f"it is the base of the history of {model}, which goes only with the whole model")
    if needed:
        raise Conflict(f"version {version} of {model} is not deleted: {_listed(needed)}")
    for table in (GateResultRow, VersionRow):
        this = col(table.model) == model, col(table.version) == version
        session.connection().execute(delete(table).where(*this))
    note_change(session, kind="deleted", subject=f"model {model}", what=f"version {version} deleted", at=now, by=by)


def delete_model(session: Session, *, name: str, by: str, now: datetime) -> int:
    """Delete a model with its versions and aliases, and tell how many versions. Caller commits.

    Raises:
        NotFound: there is no such model.
        Conflict: something needs it; the message names all that does.
    """
    get_model(session, name=name)
    needed = [use.what for use in uses_of(session, model=name) if not use.own]
    if needed:
        raise Conflict(f"model {name} is not deleted: {_listed(needed)}")
    versions = session.exec(select(func.count()).where(VersionRow.model == name)).one()
    for table in (GateResultRow, AliasMoveRow, AliasRow, VersionRow):
        session.connection().execute(delete(table).where(col(table.model) == name))
    session.connection().execute(delete(ModelRow).where(col(ModelRow.name) == name))
    what = f"deleted with its {versions} versions"
    note_change(session, kind="deleted", subject=f"model {name}", what=what, at=now, by=by)
    return versions


def _listed(needed: Iterable[str]) -> str:
    return "; ".join(needed)
