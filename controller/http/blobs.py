"""Files that documents name, uploaded before the documents are applied."""

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response

from controller.http.services import Parts
from schemas.errors import TooLarge
from schemas.names import BlobDigest, BlobRef

router = APIRouter(tags=["blobs"])

_PIECE_BYTES = 1024 * 1024


@router.post("/blobs", status_code=201)
async def upload(request: Request, parts: Parts) -> BlobRef:
    """Keep the request's body as a blob."""
    most = parts.settings.upload_mb * 1024 * 1024
    declared = int(request.headers.get("content-length") or 0)
    if declared > most:
        raise TooLarge(f"a file of {declared} bytes; this controller takes at most {most} (its setting upload_mb)")
    with parts.blobs.writer() as writer:
        piece = bytearray()
        total = 0
        async for data in request.stream():
            total += len(data)
            if total > most:
                raise TooLarge(f"a file of more than {most} bytes (the controller's setting upload_mb)")
            piece += data
            if len(piece) >= _PIECE_BYTES:
                await asyncio.to_thread(writer.write, bytes(piece))
                piece.clear()
        await asyncio.to_thread(writer.write, bytes(piece))
        return await asyncio.to_thread(writer.commit)


@router.get("/blobs/{digest}")
async def download(digest: BlobDigest, parts: Parts) -> FileResponse:
    """The bytes of a blob."""
    return FileResponse(parts.blobs.path(digest), media_type="application/octet-stream")


@router.head("/blobs/{digest}")
async def has(digest: BlobDigest, parts: Parts) -> Response:
    """Whether a blob is held, so that it need not be uploaded again."""
    return Response(headers={"Content-Length": str(parts.blobs.size(digest))})
