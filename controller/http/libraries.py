"""Libraries."""

from fastapi import APIRouter

from controller.http.services import Parts
from controller.stores.serving import list_libraries
from controller.views import library_view
from schemas.pipeline_views import LibraryView
from schemas.views import Page

router = APIRouter(tags=["libraries"])


@router.get("/libraries")
async def all_libraries(parts: Parts) -> Page[LibraryView]:
    """The newest version of every library."""
    rows = await parts.database.read(list_libraries)
    return Page(items=tuple(library_view(row) for row in rows))
