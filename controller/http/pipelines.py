"""Pipelines and their versions."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from controller.http.models import MAX_VERSION
from controller.http.services import Parts
from controller.stores.serving import list_pipelines
from controller.stores.serving_changes import delete_pipeline
from controller.views import pipeline_version_view, pipeline_version_views, pipeline_view
from schemas.pipeline_changes import changes_between
from schemas.pipeline_views import DeletedPipeline, PipelineDifference, PipelineVersionView, PipelineView
from schemas.views import Page

router = APIRouter(tags=["pipelines"])

Version = Annotated[int, Path(ge=1, le=MAX_VERSION)]


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


@router.delete("/pipelines/{name}")
async def remove(name: str, parts: Parts, undeploy: bool = False) -> DeletedPipeline:
    """Delete a pipeline in all its versions, with ``undeploy`` its deployments too; else 409 if it has any."""
    return await parts.fleet.remove(lambda session: delete_pipeline(session, name=name, undeploy=undeploy))


@router.get("/pipelines/{name}/versions")
async def all_versions(name: str, parts: Parts) -> Page[PipelineVersionView]:
    """A pipeline's versions, newest first."""
    items = await parts.database.read(lambda session: pipeline_version_views(session, name))
    return Page(items=tuple(items))


@router.get("/pipelines/{name}/versions/{version}")
async def one_version(name: str, version: Version, parts: Parts) -> PipelineVersionView:
    """One version of a pipeline."""
    return await parts.database.read(lambda session: pipeline_version_view(session, name, version))


@router.get("/pipelines/{name}/versions/{version}/changes")
async def changes(
    name: str, version: Version, since: Annotated[int, Query(ge=1, le=MAX_VERSION)], parts: Parts
) -> PipelineDifference:
    """What is different in a version from an older or newer one, ``since``."""
    old = await one_version(name, since, parts)
    new = await one_version(name, version, parts)
    return PipelineDifference(name=name, old=since, new=version, changes=changes_between(old.spec, new.spec))
