"""Libraries and deployments."""

from fastapi import APIRouter

from controller.http.services import Parts
from controller.stores.serving import list_deployments, list_libraries
from controller.stores.serving_changes import delete_deployment
from controller.views import deployment_view, library_view
from schemas.views import DeploymentView, LibraryView, Page, Undeployed

router = APIRouter(tags=["serving"])


@router.get("/libraries")
async def all_libraries(parts: Parts) -> Page[LibraryView]:
    """The newest version of every library."""
    rows = await parts.database.read(list_libraries)
    return Page(items=tuple(library_view(row) for row in rows))


@router.get("/deployments")
async def all_deployments(parts: Parts) -> Page[DeploymentView]:
    """Every deployment, and whether what it wishes is so."""
    items = await parts.database.read(
        lambda session: [deployment_view(session, spec) for spec in list_deployments(session)]
    )
    return Page(items=tuple(items))


@router.delete("/deployments/{name}")
async def remove_deployment(name: str, parts: Parts) -> Undeployed:
    """Delete a deployment; its edges let go of what no other deployment wants there."""
    return await parts.fleet.remove(lambda session: delete_deployment(session, name=name))
