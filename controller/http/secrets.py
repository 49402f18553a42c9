"""Secrets: set, listed by name and deleted; no answer holds a value."""

from typing import Annotated

from fastapi import APIRouter, Path, Request

from controller.http.bodies import upload
from controller.http.services import Parts
from schemas.names import Identifier
from schemas.secrets import MAX_SECRET_BYTES
from schemas.views import Page, SecretView

router = APIRouter(tags=["secrets"])

SecretName = Annotated[Identifier, Path()]
_BODY = {"required": True, "content": {"text/plain": {"schema": {"type": "string", "maxLength": MAX_SECRET_BYTES}}}}


@router.get("/secrets")
async def all_secrets(parts: Parts) -> Page[SecretView]:
    """Every secret, by name: when it was changed, and the jobs that use it."""
    return Page(items=await parts.secrets.all())


@router.put("/secrets/{name}", openapi_extra={"requestBody": _BODY})
async def set_secret(name: SecretName, request: Request, parts: Parts) -> SecretView:
    """Set a secret, or change it: the body is its value, UTF-8 text of at most 64 KiB."""
    value = b"".join([piece async for piece in upload(request, MAX_SECRET_BYTES)])
    view = await parts.secrets.put(name, value)
    parts.supervisor.wake()  # a run may wait for it
    return view


@router.delete("/secrets/{name}", status_code=204)
async def delete_secret(name: SecretName, parts: Parts) -> None:
    """Forget a secret that no job uses."""
    await parts.secrets.delete(name)
