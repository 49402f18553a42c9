"""Runs: their state, their logs, and ending one."""

import asyncio
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from controller.http.services import Parts
from controller.runs.news import wait_for
from controller.runs.steps import CancelAsked
from controller.stores.runs import get_row, list_rows
from controller.views import run_view
from schemas.runs import LIVE, RunState
from schemas.views import LogPage, Page, RunView

router = APIRouter(tags=["runs"])

Limit = Annotated[int, Query(ge=1, le=1000)]


@router.get("/runs")
async def all_runs(
    parts: Parts, job: str | None = None, state: RunState | None = None, limit: Limit = 50, cursor: UUID | None = None
) -> Page[RunView]:
    """Runs, newest first."""
    before = str(cursor) if cursor else None
    rows = await parts.database.read(
        lambda session: list_rows(session, job=job, state=state, before=before, limit=limit + 1)
    )
    following = str(rows[limit - 1].id) if len(rows) > limit else None
    return Page(items=tuple(run_view(row) for row in rows[:limit]), next=following)


@router.get("/runs/{run_id}")
async def one_run(run_id: UUID, parts: Parts) -> RunView:
    """One run."""
    return run_view(await parts.database.read(lambda session: get_row(session, run_id=run_id)))


@router.post("/runs/{run_id}/cancel")
async def cancel(run_id: UUID, parts: Parts) -> RunView:
    """End a run; its edge stops the task when it sees the next manifest, also if it is away now."""
    await parts.supervisor.step(run_id, CancelAsked("cancelled by a person"))
    return await one_run(run_id, parts)


@router.get("/runs/{run_id}/logs")
async def logs(
    run_id: UUID,
    parts: Parts,
    from_line: Annotated[int, Query(ge=0, le=2**63 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    wait_s: Annotated[float, Query(ge=0, le=30)] = 0,
) -> LogPage:
    """Lines of the current attempt's log; waits up to ``wait_s`` for the first new one."""
    news = parts.records.news.of(run_id)
    page = await _log_page(run_id, parts, from_line, limit)
    if not page.lines and not page.complete and wait_s:
        await wait_for(news, wait_s)
        page = await _log_page(run_id, parts, from_line, limit)
    return page


async def _log_page(run_id: UUID, parts: Parts, from_line: int, limit: int) -> LogPage:
    row = await parts.database.read(lambda session: get_row(session, run_id=run_id))
    read = parts.records.logs.read
    lines, following = await asyncio.to_thread(read, run_id, row.attempt, from_line=from_line, limit=limit)
    ended = RunState(row.state) not in LIVE
    return LogPage(
        attempt=row.attempt,
        first_line=from_line,
        lines=tuple(lines),
        next_line=following,
        complete=ended and len(lines) < limit,
    )
