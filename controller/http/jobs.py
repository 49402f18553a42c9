"""Jobs: what they are, and why they are not running."""

from fastapi import APIRouter
from sqlmodel import Session

from controller.http.services import Parts
from controller.stores.jobs import get_job, list_jobs, save_job
from controller.views import job_view
from schemas.views import JobView, Page

router = APIRouter(tags=["jobs"])


@router.get("/jobs")
async def all_jobs(parts: Parts) -> Page[JobView]:
    """Every job, by name."""
    items = await parts.database.read(lambda session: [job_view(session, row.name) for row, _ in list_jobs(session)])
    return Page(items=tuple(items))


@router.get("/jobs/{name}")
async def one_job(name: str, parts: Parts) -> JobView:
    """One job."""
    return await parts.database.read(lambda session: job_view(session, name))


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
    parts.ticks.jobs_changed()
    return view
