"""Files that documents name, uploaded before the documents are applied."""

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import Response

from controller.http.bodies import upload_of_a_file
from controller.http.services import Parts
from controller.http.streams import File
from schemas.names import BlobDigest, BlobRef

router = APIRouter(tags=["blobs"])


@router.post("/blobs", status_code=201)
async def keep(request: Request, parts: Parts) -> BlobRef:
    """Keep the request's body as a blob."""
    with parts.blobs.writer() as writer:
        async for piece in upload_of_a_file(request, parts.settings.upload_mb):
            await asyncio.to_thread(writer.write, piece)
        return await asyncio.to_thread(writer.commit)


@router.get("/blobs/{digest}")
async def download(digest: BlobDigest, parts: Parts) -> File:
    """The bytes of a blob."""
    return File(parts.blobs.path(digest), media_type="application/octet-stream")


@router.head("/blobs/{digest}")
async def has(digest: BlobDigest, parts: Parts) -> Response:
    """Whether a blob is held, so that it need not be uploaded again; it then is for as long as a new upload."""
    ref = await asyncio.to_thread(parts.blobs.keep_on, digest)
    return Response(headers={"Content-Length": str(ref.size_bytes)})
