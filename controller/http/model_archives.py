"""Models that go to another controller, or come from one."""

from fastapi import APIRouter
from pydantic import PositiveInt

from controller.http.services import Parts
from schemas.archives import SignedArchive
from schemas.models import ModelVersion
from schemas.names import Name, PublicKey
from schemas.views import Page
from schemas.written import Written

router = APIRouter(tags=["models"])


class Arrival(Written):
    """An archive whose blobs were uploaded before."""

    archive: SignedArchive
    name: Name | None = None  # instead of the one that it has
    trust: PublicKey | None = None  # the signer's, for this one time


@router.get("/models/{name}/archive")
async def write_archive(name: Name, parts: Parts, version: PositiveInt | None = None) -> SignedArchive:
    """All that is said of a model's versions, or of one, signed; their bytes are blobs that it names."""
    return await parts.archives.write(name, version)


@router.post("/model-archives", status_code=201)
async def read_archive(arrival: Arrival, parts: Parts) -> Page[ModelVersion]:
    """Make versions of an archive that a trusted controller signed; answers those that were not there yet."""
    made = await parts.archives.read(arrival.archive, arrival.name, arrival.trust)
    parts.rollouts.look()
    return Page(items=tuple(made))
