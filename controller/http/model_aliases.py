"""Aliases of models: where they stand, moving them, and every move that was made."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field
from sqlmodel import Session

from controller.http.models import MAX_VERSION, By, Reason
from controller.http.services import Parts
from controller.http.tags import Given, Premise, alias_tag, revision_of
from controller.models.views import alias_view, move_view
from controller.stores.alias_moves import moves, refuse_moved
from controller.stores.model_changes import remove_alias, roll_back
from controller.stores.models import get_model, get_version_row, move_alias
from controller.stores.tables import AliasRow
from schemas.errors import Stale
from schemas.model_views import AliasMoveView, AliasView
from schemas.names import Name
from schemas.views import Page
from schemas.written import Written

router = APIRouter(tags=["models"])

Limit = Annotated[int, Query(ge=1, le=1000)]


class AliasChange(Written):
    """Why an alias moves, and who moves it."""

    reason: Annotated[str, Field(max_length=1000)] = ""
    by: Annotated[str, Field(max_length=200)] = "the API"


class AliasMove(AliasChange):
    """Where an alias goes, and why."""

    version: Annotated[int, Field(ge=1, le=MAX_VERSION)]


@router.get("/models/{name}/aliases/{alias}")
async def one_alias(name: str, alias: str, parts: Parts, response: Response) -> AliasView:
    """One alias; its ``ETag`` is for moving it."""
    view = await parts.database.read(lambda session: alias_view(session, name, alias))
    response.headers["ETag"] = alias_tag(view.revision)
    return view


@router.put("/models/{name}/aliases/{alias}")
async def set_alias(
    name: str, alias: Name, move: AliasMove, parts: Parts, response: Response, premise: Given
) -> AliasView:
    """Let an alias stand for another version; what is deployed by it follows.

    With ``If-None-Match: *`` only a new one is made; with ``If-Match`` only the one that has that tag is moved.
    """

    def save(session: Session) -> AliasView:
        get_model(session, name=name)
        _check(session, name, alias, premise)
        get_version_row(session, model=name, version=move.version)
        reason, now = move.reason or "moved by a person", parts.clock()
        move_alias(session, model=name, alias=alias, version=move.version, reason=reason, by=move.by, now=now)
        return alias_view(session, name, alias)

    return await _changed(parts, response, save)


@router.post("/models/{name}/aliases/{alias}/rollback")
async def rollback(
    name: str, alias: Name, change: AliasChange, parts: Parts, response: Response, premise: Given
) -> AliasView:
    """Move an alias back to what it stood for before; once more goes back once more, for each move that was made."""

    def save(session: Session) -> AliasView:
        _check(session, name, alias, premise)
        reason = change.reason or "rolled back"
        roll_back(session, model=name, alias=alias, reason=reason, by=change.by, now=parts.clock())
        return alias_view(session, name, alias)

    return await _changed(parts, response, save)


@router.delete("/models/{name}/aliases/{alias}")
async def remove(
    name: str, alias: str, parts: Parts, premise: Given, reason: Reason = "", by: By = "the API"
) -> AliasView:
    """Remove an alias; 409 if something follows it. Answers what it was."""

    def save(session: Session) -> AliasView:
        _check(session, name, alias, premise)
        view = alias_view(session, name, alias)
        remove_alias(session, model=name, alias=alias, reason=reason or "removed by a person", by=by, now=parts.clock())
        return view

    view = await parts.database.write(save)
    parts.rollouts.look()
    return view


@router.get("/models/{name}/history")
async def history(
    name: str, parts: Parts, alias: str | None = None, limit: Limit = 100, cursor: int | None = None
) -> Page[AliasMoveView]:
    """Every move of a model's aliases, or of one of them, newest first."""

    def look(session: Session) -> Page[AliasMoveView]:
        get_model(session, name=name)
        rows = moves(session, model=name, alias=alias, before=cursor, limit=limit + 1)
        following = str(rows[limit - 1].id) if len(rows) > limit else None
        return Page(items=tuple(move_view(row) for row in rows[:limit]), next=following)

    return await parts.database.read(look)


def _check(session: Session, name: str, alias: str, premise: Premise) -> None:
    """Raise when a change is not meant for what there is now, in the transaction of the change."""
    if premise.new:
        refuse_moved(session, model=name, alias=alias, revision=None)
    if premise.any and session.get(AliasRow, (name, alias)) is None:
        raise Stale(f"model {name} has no alias {alias}")
    if premise.if_match is not None and not premise.any:
        refuse_moved(session, model=name, alias=alias, revision=revision_of(premise.if_match))


async def _changed(parts: Parts, response: Response, save: Callable[[Session], AliasView]) -> AliasView:
    view = await parts.database.write(save)
    parts.rollouts.look()
    response.headers["ETag"] = alias_tag(view.revision)
    return view
