"""Models: what there is of each, changing what is said of it, and deleting it."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field
from sqlmodel import Session

from controller.http.services import Parts
from controller.http.tags import Tag, model_tag, refuse_stale
from controller.models.metrics import metrics_view
from controller.models.views import model_view, model_views
from controller.stores.model_changes import delete_model
from controller.stores.models import get_model
from schemas.model_views import DeletedModel, MetricsView, ModelView
from schemas.views import Page
from schemas.written import Written

router = APIRouter(tags=["models"])

MAX_VERSION = 999_999_999
"""What people may write; it fits every database's integers."""

Version = Annotated[int, Path(ge=1, le=MAX_VERSION)]
Reason = Annotated[str, Query(max_length=1000)]
By = Annotated[str, Query(max_length=200)]


class ModelChange(Written):
    """What is said of a model."""

    description: Annotated[str, Field(max_length=10_000)]


@router.get("/models")
async def all_models(parts: Parts) -> Page[ModelView]:
    """Every model, by name."""
    return Page(items=tuple(await parts.database.read(model_views)))


@router.get("/models/{name}")
async def one_model(name: str, parts: Parts, response: Response) -> ModelView:
    """One model with its versions, newest first; its ``ETag`` is for changing it."""
    view = await parts.database.read(lambda session: model_view(session, name))
    response.headers["ETag"] = model_tag(view)
    return view


@router.patch("/models/{name}")
async def change(name: str, written: ModelChange, parts: Parts, response: Response, if_match: Tag = None) -> ModelView:
    """Describe a model; with ``If-Match`` only if nobody changed anything of it meanwhile."""

    def save(session: Session) -> ModelView:
        if if_match is not None:
            refuse_stale(if_match, model_tag(model_view(session, name)), f"model {name}")
        row = get_model(session, name=name)
        row.description = written.description
        session.add(row)
        return model_view(session, name)

    view = await parts.database.write(save)
    response.headers["ETag"] = model_tag(view)
    return view


@router.delete("/models/{name}")
async def remove(name: str, parts: Parts, by: By = "the API", if_match: Tag = None) -> DeletedModel:
    """Delete a model with all its versions; 409, naming everything that needs it, while something does."""

    def delete(session: Session) -> DeletedModel:
        if if_match is not None:
            refuse_stale(if_match, model_tag(model_view(session, name)), f"model {name}")
        return DeletedModel(name=name, versions=delete_model(session, name=name, by=by, now=parts.clock()))

    return await parts.fleet.remove(delete)


@router.get("/models/{name}/metrics")
async def metrics(name: str, parts: Parts, metric: str | None = None) -> MetricsView:
    """Each metric over the versions that have it, or one of them; oldest first."""
    return await parts.database.read(lambda session: metrics_view(session, name, metric))
