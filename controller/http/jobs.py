"""Jobs: what they are, why they are not running, changing and ending them."""

import hashlib
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from sqlmodel import Session

from controller.http.services import Parts
from controller.job_view import job_view
from controller.stores.job_changes import delete_job, rename_job
from controller.stores.jobs import get_job, list_names, save_job
from controller.stores.tables import JobRow
from schemas.errors import BadInput, Conflict, Stale
from schemas.fleet import Fleet, JobDocument
from schemas.jobs import JobSpec
from schemas.names import Name
from schemas.tasks import TaskSpec
from schemas.views import JobView, Page
from schemas.written import Written

router = APIRouter(tags=["jobs"])

Limit = Annotated[int, Query(ge=1, le=1000)]
Tag = Annotated[str | None, Header()]


class NewName(Written):
    """What a job is called from now on."""

    name: Name


@router.get("/jobs")
async def all_jobs(parts: Parts, limit: Limit = 100, cursor: str | None = None) -> Page[JobView]:
    """Jobs, by name."""

    def look(session: Session) -> Page[JobView]:
        names = list_names(session, after=cursor or "", limit=limit + 1)
        following = names[limit - 1] if len(names) > limit else None
        return Page(items=tuple(job_view(session, name) for name in names[:limit]), next=following)

    return await parts.database.read(look)


@router.get("/jobs/{name}")
async def one_job(name: str, parts: Parts, response: Response) -> JobView:
    """One job; its ``ETag`` is for changing it."""
    view = await parts.database.read(lambda session: job_view(session, name))
    response.headers["ETag"] = _tag(view.spec)
    return view


@router.put("/jobs/{name}")
async def put_job(
    name: str, spec: JobSpec, parts: Parts, response: Response, if_match: Tag = None, if_none_match: Tag = None
) -> JobView:
    """Make a job, or change it; it is never fired by that.

    With ``If-None-Match: *`` only a new one is made; with ``If-Match`` only the one that has that tag is changed.
    """
    if spec.name != name:
        raise BadInput(f"the job says that its name is {spec.name!r}; it is renamed at /jobs/{name}/rename")
    document = JobDocument.model_validate({**spec.model_dump(), "kind": "Job"})
    await parts.fleet.apply(Fleet(documents=(document,)), premise=_premise(name, if_match, if_none_match))
    return await one_job(name, parts, response)


@router.post("/jobs/try")
async def try_job(spec: JobSpec, parts: Parts, full: bool = False) -> TaskSpec:
    """What an edge would be told if this job ran now, its rows included; nothing is queued or kept of it."""
    return await parts.writer.rehearse(spec, full=full)


@router.delete("/jobs/{name}", status_code=204)
async def remove(name: str, parts: Parts, cancel: bool = False) -> None:
    """Delete a job; its model versions and their files stay. With ``cancel`` its live runs are ended first."""
    steps = await parts.database.write(lambda session: delete_job(session, name=name, cancel=cancel, now=parts.clock()))
    for before, after in steps:
        parts.supervisor.tell(before, after)
    _changed(parts)


@router.post("/jobs/{name}/rename")
async def rename(name: str, to: NewName, parts: Parts) -> JobView:
    """Give a job another name; nothing is fired or trained anew by that."""

    def save(session: Session) -> JobView:
        rename_job(session, old=name, new=to.name)
        return job_view(session, to.name)

    view = await parts.database.write(save)
    _changed(parts)
    return view


@router.post("/jobs/{name}/pause")
async def pause(name: str, parts: Parts) -> JobView:
    """Fire no more until it is resumed; a live run goes on."""
    return await _set_paused(name, parts, paused=True)


@router.post("/jobs/{name}/resume")
async def resume(name: str, parts: Parts) -> JobView:
    """Fire again, from the next time of its schedule on."""
    return await _set_paused(name, parts, paused=False)


async def _set_paused(name: str, parts: Parts, *, paused: bool) -> JobView:
    def save(session: Session) -> JobView:
        _, spec = get_job(session, name=name)
        changed = spec.model_copy(update={"paused": paused})
        save_job(session, spec=changed, now=parts.clock())
        return job_view(session, name)

    view = await parts.database.write(save)
    _changed(parts)
    return view


def _changed(parts: Parts) -> None:
    parts.ticks.jobs_changed()
    parts.supervisor.wake()


def _tag(spec: JobSpec) -> str:
    return f'"{hashlib.sha256(spec.model_dump_json().encode()).hexdigest()[:32]}"'


def _premise(name: str, if_match: str | None, if_none_match: str | None) -> Callable[[Session], None]:
    def check(session: Session) -> None:
        row = session.get(JobRow, name)
        if if_none_match == "*" and row is not None:
            raise Conflict(f"there is a job {name!r} already")
        tags = {"*", _tag(JobSpec.model_validate_json(row.spec))} if row is not None else set()
        if if_match is not None and if_match not in tags:
            raise Stale(f"job {name} was changed or deleted meanwhile; read it again, and decide again")

    return check
