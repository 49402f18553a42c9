"""Pipelines, libraries and deployments."""

from fastapi import APIRouter

from controller.http.services import Parts
from controller.stores.serving import list_deployments, list_libraries, list_pipelines
from controller.views import deployment_view, library_view, pipeline_view
from schemas.views import DeploymentView, LibraryView, Page, PipelineView

router = APIRouter(tags=["serving"])


@router.get("/pipelines")
async def all_pipelines(parts: Parts) -> Page[PipelineView]:
    """The newest version of every pipeline, and how it does on each edge."""
    items = await parts.database.read(
        lambda session: [pipeline_view(session, row.name) for row in list_pipelines(session)]
    )
    return Page(items=tuple(items))


@router.get("/pipelines/{name}")
async def one_pipeline(name: str, parts: Parts) -> PipelineView:
    """One pipeline."""
    return await parts.database.read(lambda session: pipeline_view(session, name))


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
