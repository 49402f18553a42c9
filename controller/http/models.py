"""Models: versions, their files, and moving an alias."""

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import FileResponse
from pydantic import Field
from sqlmodel import Session

from controller.http.services import Parts
from controller.stores.models import get_version, list_models, move_alias
from controller.views import model_view
from schemas.errors import NotFound
from schemas.names import Name
from schemas.views import ModelView, Page
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


@router.put("/models/{name}/aliases/{alias}")
async def set_alias(name: str, alias: Name, move: AliasMove, parts: Parts) -> ModelView:
    """Let an alias stand for another version; what is deployed by it follows."""

    def save(session: Session) -> ModelView:
        get_version(session, model=name, version=move.version)
        reason = move.reason or "moved by a person"
        move_alias(session, model=name, alias=alias, version=move.version, reason=reason, now=parts.clock())
        return model_view(session, name)

    view = await parts.database.write(save)
    await parts.manifests.mark_all()
    return view
