"""Documents applied together."""

from fastapi import APIRouter

from controller.http.services import Parts
from schemas.fleet import Fleet
from schemas.views import Applied

router = APIRouter(tags=["fleet"])


@router.post("/fleet")
async def apply(fleet: Fleet, parts: Parts, *, dry_run: bool = False) -> Applied:
    """Make what the documents say so; with ``dry_run`` only tell what would change."""
    return await parts.fleet.apply(fleet, dry_run=dry_run)
