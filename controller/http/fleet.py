"""Documents applied together."""

from typing import Annotated

from fastapi import APIRouter, Query

from controller.http.services import Parts
from schemas.fleet import Fleet
from schemas.views import Applied

router = APIRouter(tags=["fleet"])


@router.post("/fleet")
async def apply(
    fleet: Fleet, parts: Parts, *, dry_run: bool = False, by: Annotated[str, Query(max_length=200)] = ""
) -> Applied:
    """Make what the documents say so; with ``dry_run`` only tell what would change.

    ``by`` says what applies them, such as a command; it is kept with the versions of pipelines that come of it.
    """
    return await parts.fleet.apply(fleet, dry_run=dry_run, by=by)
