"""Runs: their state, ending one, and doing one once more."""

from collections.abc import Callable
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from sqlmodel import Session

from controller.http.services import Parts
from controller.runs import requests
from controller.runs.steps import CancelAsked
from controller.stores.runs import get_row, list_rows
from controller.stores.tables import RunRow
from controller.stores.usage import usage_of_all
from controller.views import run_view
from schemas.runs import RunState
from schemas.views import Page, RunView, UsageView

router = APIRouter(tags=["runs"])

Limit = Annotated[int, Query(ge=1, le=1000)]


@router.get("/runs")
async def all_runs(
    parts: Parts, job: str | None = None, state: RunState | None = None, limit: Limit = 50, cursor: UUID | None = None
) -> Page[RunView]:
    """Runs, newest first."""
    before = str(cursor) if cursor else None

    def read(session: Session) -> list[RunView]:
        rows = list_rows(session, job=job, state=state, before=before, limit=limit + 1)
        return [run_view(session, row) for row in rows]

    views = await parts.database.read(read)
    return Page(items=tuple(views[:limit]), next=str(views[limit - 1].id) if len(views) > limit else None)


@router.get("/usage")
async def usage(parts: Parts) -> UsageView:
    """What the kept runs of each job took, and all of them together."""
    return await parts.database.read(usage_of_all)


@router.get("/runs/{run_id}")
async def one_run(run_id: UUID, parts: Parts) -> RunView:
    """One run."""
    return await parts.database.read(lambda session: run_view(session, get_row(session, run_id=run_id)))


@router.post("/jobs/{name}/runs", status_code=202)
async def run_now(name: str, parts: Parts, full: bool = False) -> RunView:
    """Queue a run now, with ``full`` on all rows also for queries that ask for new ones. The schedule goes on."""
    return await _queue(parts, lambda session: requests.run_now(session, name=name, full=full, now=parts.clock()))


@router.post("/runs/{run_id}/retry", status_code=202)
async def retry(run_id: UUID, parts: Parts) -> RunView:
    """Queue a run of the same job as it was then, on data selected anew."""
    return await _queue(parts, lambda session: requests.retry(session, run_id=run_id, now=parts.clock()))


@router.post("/runs/{run_id}/reproduce", status_code=202)
async def reproduce(run_id: UUID, parts: Parts) -> RunView:
    """Queue a run on exactly what an earlier one was given; its model is registered, and never promoted."""
    return await _queue(parts, lambda session: requests.reproduce(session, run_id=run_id, now=parts.clock()))


@router.post("/runs/{run_id}/cancel")
async def cancel(run_id: UUID, parts: Parts) -> RunView:
    """End a run; its edge stops the task when it sees the next manifest, also if it is away now."""
    await parts.supervisor.step(run_id, CancelAsked("cancelled by a person"))
    return await one_run(run_id, parts)


async def _queue(parts: Parts, queue: Callable[[Session], RunRow]) -> RunView:
    view = await parts.database.write(lambda session: run_view(session, queue(session)))
    parts.supervisor.wake()
    return view
