"""What became of the last messages of a pipeline, as its edges tell it."""

from typing import Annotated

from fastapi import APIRouter, Query

from controller.http.services import Parts
from controller.views import pipeline_view
from schemas.errors import BadInput, NotFound, Unreachable
from schemas.names import EdgeName
from schemas.outcomes import MOST_OUTCOMES
from schemas.pipelines import Outcome
from schemas.views import Page

router = APIRouter(tags=["serving"])


@router.get("/pipelines/{name}/outcomes")
async def outcomes(
    name: str,
    parts: Parts,
    edge: EdgeName | None = None,
    limit: Annotated[int, Query(ge=1, le=MOST_OUTCOMES)] = MOST_OUTCOMES,
) -> Page[Outcome]:
    """The last messages that went through a pipeline on one edge, newest first; with one edge it need not be named."""
    view = await parts.database.read(lambda session: pipeline_view(session, name))
    edges = sorted(view.edges)
    if edge is None and len(edges) != 1:
        raise BadInput(f"say which edge: {name} runs on {', '.join(edges) or 'none'}")
    asked = edge or edges[0]
    if asked not in edges:
        raise NotFound(f"{name} does not run on {asked}: it runs on {', '.join(edges) or 'no edge'}")
    if asked in view.absent:
        raise Unreachable(f"{asked} {view.absent[asked]}")
    told = await parts.outcomes.ask(asked, name, limit)
    return Page(items=told.outcomes)
