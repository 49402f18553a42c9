"""What a run tells and leaves: its log, its progress and its files, at once or as they come."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from controller.http.services import Parts
from controller.runs.log_reader import LogReader
from controller.runs.news import wait_for
from controller.runs.run_files import files_of
from controller.stores.runs import get_row, to_run
from controller.stores.tables import RunRow
from controller.views import run_view
from schemas.errors import NotFound
from schemas.names import FileTree
from schemas.runs import LIVE, RunState
from schemas.tasks import TaskSpec
from schemas.views import LogPage, ProgressPage, RunView

router = APIRouter(tags=["runs"])

QUIET_S = 20.0  # a stream without news looks again after so long
_LINES = 500  # told at once
_PLACE = re.compile(r"([0-9]{1,15}):([0-9]{1,15}):([0-9]{1,15})")

FromHere = Annotated[int, Query(ge=0, le=2**63 - 1)]
Limit = Annotated[int, Query(ge=1, le=10_000)]


@router.get("/runs/{run_id}/logs")
async def logs(
    run_id: UUID,
    parts: Parts,
    from_line: FromHere = 0,
    limit: Limit = 1000,
    wait_s: Annotated[float, Query(ge=0, le=30)] = 0,
) -> LogPage:
    """Lines of the current attempt's log; waits up to ``wait_s`` for the first new one."""
    news = parts.records.news.of(run_id)
    page = await _log_page(run_id, parts, from_line, limit)
    if not page.lines and not page.complete and wait_s:
        await wait_for(news, wait_s)
        page = await _log_page(run_id, parts, from_line, limit)
    return page


@router.get("/runs/{run_id}/progress")
async def progress(run_id: UUID, parts: Parts, from_point: FromHere = 0, limit: Limit = 1000) -> ProgressPage:
    """What the current attempt's scripts told of their progress."""
    row = await _row(run_id, parts)
    read = parts.records.progress.read
    lines, following = await asyncio.to_thread(read, run_id, row.attempt, from_line=from_point, limit=limit)
    return ProgressPage(
        attempt=row.attempt,
        first_point=from_point,
        points=tuple(orjson.loads(line) for line in lines),
        next_point=following,
        complete=_ended(row) and len(lines) < limit,
    )


@router.get("/runs/{run_id}/log.txt")
async def whole_log(run_id: UUID, parts: Parts) -> StreamingResponse:
    """The current attempt's log as far as it is here, as text."""
    row = await _row(run_id, parts)
    lines = _text(parts.records.logs.reader(run_id, row.attempt))
    headers = {"Content-Disposition": f'attachment; filename="{row.job}-{run_id}.log"'}
    return StreamingResponse(lines, media_type="text/plain; charset=utf-8", headers=headers)


@router.get("/runs/{run_id}/files")
async def files(run_id: UUID, parts: Parts) -> FileTree:
    """Every file that the run was given and that it made; the bytes are at ``/blobs``."""
    run = to_run(await _row(run_id, parts))
    task = None
    if run.task is not None:
        try:
            path = parts.blobs.path(run.task.digest)
            task = TaskSpec.model_validate_json(await asyncio.to_thread(path.read_bytes))
        except NotFound as error:
            raise NotFound(f"the inputs of run {run_id} are no longer kept") from error
    return files_of(run, task)


async def _known(run_id: UUID, parts: Parts) -> None:
    """Answer 404 before a stream begins, which could only break off."""
    await _row(run_id, parts)


@router.get("/runs/{run_id}/events", response_class=EventSourceResponse, dependencies=[Depends(_known)])
async def events(
    run_id: UUID, parts: Parts, last_event_id: Annotated[str | None, Header()] = None
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events: ``run`` with each new state, ``log`` and ``progress`` as they come, ``end`` at the end.

    A stream that broke goes on where it was, by the ``Last-Event-ID`` that browsers send by themselves.
    """
    place = _Place(last_event_id or "")
    told: RunView | None = None
    while True:
        news = parts.records.news.of(run_id)
        view = await parts.database.read(lambda session: run_view(session, get_row(session, run_id=run_id)))
        if view != told:
            told = view
            yield ServerSentEvent(event="run", data=view.model_dump(mode="json"), id=place.text)
        more = False
        async for event in place.read(parts, run_id, view.attempt):
            more = True
            yield event
        if view.state not in LIVE and not more:
            yield ServerSentEvent(event="end", data=view.state, id=place.text)
            return
        if not more:
            await wait_for(news, QUIET_S)


class _Place:
    """How much of a run one stream has told: ``attempt:line:point``."""

    def __init__(self, text: str) -> None:
        known = _PLACE.fullmatch(text)
        self._attempt, self._line, self._point = map(int, known.groups()) if known else (0, 0, 0)
        self._readers: tuple[LogReader, LogReader] | None = None

    @property
    def text(self) -> str:
        """What a client sends back to go on from here."""
        return f"{self._attempt}:{self._line}:{self._point}"

    async def read(self, parts: Parts, run_id: UUID, attempt: int) -> AsyncIterator[ServerSentEvent]:
        """What came since, of the attempt that counts now."""
        if attempt != self._attempt:
            self._attempt, self._line, self._point, self._readers = attempt, 0, 0, None
        if self._readers is None:
            records = parts.records
            self._readers = (
                records.logs.reader(run_id, attempt, from_line=self._line),
                records.progress.reader(run_id, attempt, from_line=self._point),
            )
        log, points = self._readers
        for number, line in await asyncio.to_thread(log.read, _LINES):
            self._line = number + 1
            yield ServerSentEvent(event="log", data={"attempt": attempt, "line": number, "text": line}, id=self.text)
        for number, line in await asyncio.to_thread(points.read, _LINES):
            self._point = number + 1
            data = {"attempt": attempt, "point": number, "values": orjson.loads(line)}
            yield ServerSentEvent(event="progress", data=data, id=self.text)


async def _row(run_id: UUID, parts: Parts) -> RunRow:
    return await parts.database.read(lambda session: get_row(session, run_id=run_id))


def _ended(row: RunRow) -> bool:
    return RunState(row.state) not in LIVE


async def _log_page(run_id: UUID, parts: Parts, from_line: int, limit: int) -> LogPage:
    row = await _row(run_id, parts)
    read = parts.records.logs.read
    lines, following = await asyncio.to_thread(read, run_id, row.attempt, from_line=from_line, limit=limit)
    return LogPage(
        attempt=row.attempt,
        first_line=from_line,
        lines=tuple(lines),
        next_line=following,
        complete=_ended(row) and len(lines) < limit,
    )


def _text(reader: LogReader) -> Iterator[str]:
    while lines := reader.read(_LINES):
        yield "".join(f"{line}\n" for _, line in lines)
