"""Collections: how full they are, their rows and rejects, and importing a file."""

import asyncio
import tempfile
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from controller.data.imports import import_rows
from controller.http.bodies import upload_of_a_file
from controller.http.services import Parts
from schemas.views import CollectionView, ImportResult, Page, Reject

router = APIRouter(tags=["collections"])

Limit = Annotated[int, Query(ge=1, le=10_000)]
Position = Annotated[int, Query(ge=0, le=2**63 - 1)]


@router.get("/collections")
async def all_collections(parts: Parts) -> Page[CollectionView]:
    """Every collection, by name."""
    store = parts.collections
    views = await asyncio.to_thread(lambda: [store.view(spec.name) for spec in store.specs()])
    return Page(items=tuple(views))


@router.get("/collections/{name}")
async def one_collection(name: str, parts: Parts) -> CollectionView:
    """One collection."""
    return await asyncio.to_thread(parts.collections.view, name)


@router.get("/collections/{name}/rows")
async def rows(name: str, parts: Parts, after: Position = 0, limit: Limit = 100) -> Page[dict[str, Any]]:
    """Rows behind a position, in the order in which they came."""
    found = await asyncio.to_thread(parts.collections.rows, name, after, limit)
    following = str(found[-1]["position"]) if len(found) == limit else None
    return Page(items=tuple(found), next=following)


@router.get("/collections/{name}/rejects")
async def rejects(name: str, parts: Parts, limit: Limit = 100) -> Page[Reject]:
    """The newest rows that did not fit, newest first."""
    return Page(items=tuple(await asyncio.to_thread(parts.collections.rejects, name, limit)))


@router.post("/collections/{name}/rows")
async def add_rows(name: str, request: Request, parts: Parts) -> ImportResult:
    """Import a JSON array, NDJSON or CSV, as the Content-Type says; all rows that fit, in one transaction."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    with tempfile.TemporaryFile(dir=parts.settings.data_dir) as file:
        async for piece in upload_of_a_file(request, parts.settings.upload_mb):
            await asyncio.to_thread(file.write, piece)
        file.seek(0)
        return await asyncio.to_thread(import_rows, parts.collections, name, file, kind)
