"""Models: versions, their files, and moving an alias."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import FileResponse
from pydantic import Field
from sqlmodel import Session

from controller.http.services import Parts
from controller.inference_pipelines import Wish, propose
from controller.stores.models import get_model, get_version, list_models, move_alias, resolve
from controller.training import job_of, trained_on
from controller.views import model_view
from schemas.errors import BadInput, NotFound
from schemas.jobs import JobSpec
from schemas.models import ModelVersion
from schemas.names import Name, model_ref
from schemas.views import ModelView, Page, ProposedPipeline
from schemas.written import Written

router = APIRouter(tags=["models"])


MAX_VERSION = 999_999_999
"""What people may write; it fits every database's integers."""


class AliasMove(Written):
    """Where an alias goes, and why."""

    version: Annotated[int, Field(ge=1, le=MAX_VERSION)]
    reason: str = ""


@router.get("/models")
async def all_models(parts: Parts) -> Page[ModelView]:
    """Every model, by name."""
    items = await parts.database.read(lambda session: [model_view(session, row.name) for row in list_models(session)])
    return Page(items=tuple(items))


@router.get("/models/{name}")
async def one_model(name: str, parts: Parts) -> ModelView:
    """One model with its versions, newest first."""
    return await parts.database.read(lambda session: model_view(session, name))


@router.get("/models/{name}/versions/{version}/files/{path:path}")
async def download(
    name: str, version: Annotated[int, Path(ge=1, le=MAX_VERSION)], path: str, parts: Parts
) -> FileResponse:
    """One file of a version."""
    card, _ = await parts.database.read(lambda session: get_version(session, model=name, version=version))
    ref = card.files.get(path)
    if ref is None:
        raise NotFound(f"version {version} of {name} has no file {path!r}; it has {', '.join(sorted(card.files))}")
    return FileResponse(parts.blobs.path(ref.digest), filename=path.rsplit("/", 1)[-1])


@router.get("/models/{reference}/pipeline")
async def propose_pipeline(reference: str, wish: Annotated[Wish, Query()], parts: Parts) -> ProposedPipeline:
    """A pipeline that answers messages with a model such as ``iris`` or ``iris@candidate``; nothing is made of it yet.

    Its features are ``features``, or what is known of the model's training; with ``lists`` messages are nested lists.
    """
    try:
        model, _ = model_ref(reference)
    except ValueError as error:
        raise BadInput(str(error)) from error

    def look(session: Session) -> tuple[ModelVersion, JobSpec | None]:
        get_model(session, name=model)
        found = resolve(session, ref=reference)
        if found is None:
            raise NotFound(f"there is no {reference} yet: {model} has no such version or alias")
        return found[0], job_of(session, found[0])

    card, job = await parts.database.read(look)
    trained = await asyncio.to_thread(trained_on, card, job, parts.blobs)
    return propose(card, reference, wish, trained)


@router.put("/models/{name}/aliases/{alias}")
async def set_alias(name: str, alias: Name, move: AliasMove, parts: Parts) -> ModelView:
    """Let an alias stand for another version; what is deployed by it follows."""

    def save(session: Session) -> ModelView:
        get_version(session, model=name, version=move.version)
        reason = move.reason or "moved by a person"
        move_alias(session, model=name, alias=alias, version=move.version, reason=reason, now=parts.clock())
        return model_view(session, name)

    view = await parts.database.write(save)
    parts.rollouts.look()
    return view
