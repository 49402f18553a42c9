"""The pipeline that is proposed for a model."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from sqlmodel import Session

from controller.http.services import Parts
from controller.inference_pipelines import Wish, propose
from controller.stores.models import get_model, resolve
from controller.training import job_of, trained_on
from schemas.errors import BadInput, NotFound
from schemas.jobs import JobSpec
from schemas.models import ModelVersion
from schemas.names import model_ref
from schemas.pipeline_views import ProposedPipeline

router = APIRouter(tags=["models"])


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
