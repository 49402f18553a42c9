"""Versions of models: what each is, its files, what people write of it, what is different between two."""

import asyncio
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Response
from pydantic import Field
from sqlmodel import Session

from controller.http.models import MAX_VERSION, By, Version
from controller.http.services import Parts
from controller.http.streams import File, Stream
from controller.http.tags import Tag, refuse_stale, version_tag
from controller.models.difference import difference
from controller.models.lineage import lineage_view
from controller.models.version_tar import VersionTar
from controller.models.views import version_view
from controller.stores.model_changes import annotate, delete_version
from controller.stores.models import get_model, get_version
from schemas.errors import NotFound
from schemas.model_views import BroughtView, LineageView, ModelDifference, VersionView
from schemas.models import NewVersion
from schemas.names import Name
from schemas.views import ProgressPage
from schemas.written import Written

router = APIRouter(tags=["models"])

Number = Annotated[int, Query(ge=1, le=MAX_VERSION)]


class Remarks(Written):
    """What a person writes of a version; what is not named stays as it is."""

    note: Annotated[str, Field(max_length=10_000)] | None = None
    tags: dict[Name, Annotated[str, Field(max_length=500)] | None] = {}  # None removes one


@router.post("/models/{name}/versions", status_code=201)
async def create_version(name: Name, new: NewVersion, parts: Parts, by: By = "the API") -> BroughtView:
    """Make a version of uploaded files, judged by the model's gate if it has one.

    201 also for files that are a version already, which is answered then, and for one that the gate does not promote:
    ``told`` says so.
    """
    brought = await parts.uploads.bring(name, new, by=by)
    parts.rollouts.look()
    view = await parts.database.read(lambda session: version_view(session, name, brought.card.version))
    return BroughtView.model_validate({**dict(view), "told": brought.told})


@router.get("/models/{name}/versions/{version}")
async def one_version(name: str, version: Version, parts: Parts, response: Response) -> VersionView:
    """One version; its ``ETag`` is for writing of it."""
    view = await parts.database.read(lambda session: version_view(session, name, version))
    response.headers["ETag"] = version_tag(view)
    return view


@router.patch("/models/{name}/versions/{version}")
async def remark(
    name: str, version: Version, remarks: Remarks, parts: Parts, response: Response, if_match: Tag = None
) -> VersionView:
    """Write a version's note, set and remove tags; with ``If-Match`` only if nobody else did meanwhile."""

    def save(session: Session) -> VersionView:
        before = version_view(session, name, version)
        refuse_stale(if_match, version_tag(before), f"what is written of version {version} of {name}")
        annotate(session, model=name, version=version, note=remarks.note, tags=remarks.tags)
        return version_view(session, name, version)

    view = await parts.database.write(save)
    response.headers["ETag"] = version_tag(view)
    return view


@router.delete("/models/{name}/versions/{version}", status_code=204)
async def remove(name: str, version: Version, parts: Parts, by: By = "the API", if_match: Tag = None) -> None:
    """Delete a version; 409, naming everything that needs it, while something does."""

    def delete(session: Session) -> None:
        get_model(session, name=name)
        if if_match is not None:
            refuse_stale(if_match, version_tag(version_view(session, name, version)), f"version {version} of {name}")
        delete_version(session, model=name, version=version, by=by, now=parts.clock())

    await parts.fleet.remove(delete)


@router.get("/models/{name}/versions/{version}/lineage")
async def lineage(
    name: str, version: Version, parts: Parts, depth: Annotated[int, Query(ge=0, le=50)] = 10
) -> LineageView:
    """Where a version came from, and up to ``depth`` base models behind it."""
    return await parts.database.read(lambda session: lineage_view(session, name, version, depth))


@router.get("/models/{name}/versions/{version}/curves")
async def curves(
    name: str,
    version: Version,
    parts: Parts,
    from_point: Annotated[int, Query(ge=0, le=2**63 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> ProgressPage:
    """What the version's scripts told of their progress; kept as long as the version, also without its run."""
    card, _ = await parts.database.read(lambda session: get_version(session, model=name, version=version))
    content = b""
    if card.curves is not None:
        content = await asyncio.to_thread(parts.blobs.read_bytes, card.curves.digest, card.curves.size_bytes)
    lines = content.splitlines()
    points = tuple(orjson.loads(line) for line in lines[from_point : from_point + limit])
    following = from_point + len(points)
    return ProgressPage(
        attempt=card.lineage.attempt or 0,
        first_point=from_point,
        points=points,
        next_point=following,
        complete=following >= len(lines),
    )


@router.get("/models/{name}/versions/{version}/files/{path:path}")
async def download(name: str, version: Version, path: str, parts: Parts) -> File:
    """One file of a version."""
    card, _ = await parts.database.read(lambda session: get_version(session, model=name, version=version))
    ref = card.files.get(path)
    if ref is None:
        raise NotFound(f"version {version} of {name} has no file {path!r}; it has {', '.join(sorted(card.files))}")
    return File(parts.blobs.path(ref.digest), filename=path.rsplit("/", 1)[-1])


@router.get("/models/{name}/versions/{version}/files.tar")
async def download_all(name: str, version: Version, parts: Parts) -> Stream:
    """All files of a version with its card, as one tar; it breaks off where a file turns out to be damaged."""
    card, card_blob = await parts.database.read(lambda session: get_version(session, model=name, version=version))
    tar = VersionTar(card, card_blob, parts.blobs)
    headers = {
        "Content-Disposition": f'attachment; filename="{tar.name}.tar"',
        "Content-Length": str(tar.size_bytes),
    }
    return Stream(tar.pieces(), media_type="application/x-tar", headers=headers)


@router.get("/models/{name}/diff")
async def diff(name: str, old: Number, new: Number, parts: Parts) -> ModelDifference:
    """What is different between two versions: metrics, signature, data, scripts, requirements, image, parameters."""

    def look(session: Session) -> list[VersionView]:
        return [version_view(session, name, version) for version in (old, new)]

    cards = await parts.database.read(look)
    return await asyncio.to_thread(difference, cards[0], cards[1], parts.blobs)
