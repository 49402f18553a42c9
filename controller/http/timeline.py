"""What changed, when and why; and which version answered where."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from controller.http.services import Parts
from controller.stores.changes import changes
from controller.stores.servings import servings
from controller.stores.tables import ChangeRow, ServingRow
from schemas.deployment_views import ChangeView, ServingView
from schemas.names import EdgeName, Name
from schemas.views import Page

router = APIRouter(tags=["timeline"])

MAX_LINES = 1000


@router.get("/timeline")
async def timeline(
    parts: Parts,
    edge: EdgeName | None = None,
    subject: str | None = None,
    cursor: Annotated[int | None, Query(ge=1)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LINES)] = 100,
) -> Page[ChangeView]:
    """Every change with its cause, newest first: on an edge, or of a subject such as ``model iris``."""
    rows = await parts.database.read(
        lambda session: changes(session, edge=edge, subject=subject, before=cursor, limit=limit)
    )
    more = str(rows[-1].id) if len(rows) == limit else None
    return Page(items=tuple(_change(row) for row in rows), next=more)


@router.get("/servings")
async def answered(
    parts: Parts, edge: EdgeName | None = None, model: Name | None = None, at: AwareDatetime | None = None
) -> Page[ServingView]:
    """Which versions answered, newest first; with ``at``, those that did at that moment."""
    rows = await parts.database.read(lambda session: servings(session, edge=edge, model=model, at=at))
    return Page(items=tuple(_serving(row) for row in rows))


def _change(row: ChangeRow) -> ChangeView:
    return ChangeView.model_validate(row.model_dump())


def _serving(row: ServingRow) -> ServingView:
    return ServingView.model_validate(row.model_dump())
