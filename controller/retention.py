"""The loop that forgets what jobs no longer keep: rows of runs and versions, files of runs, blobs."""

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

from sqlmodel import Session, select

from controller.blob_sweep import YOUNG_S, sweep
from controller.runs.records import RunRecords
from controller.runs.steps import Run
from controller.stores.changes import forget_changes
from controller.stores.database import Database
from controller.stores.retention import Forgotten, crowded, forget, forget_deleted
from controller.stores.servings import forget_servings
from controller.stores.tables import RunRow
from schemas.errors import Unreachable
from transport.blob_store import BlobDirectory

log = logging.getLogger(__name__)

EVERY_S = 3600.0
FIRST_AFTER_S = 300.0  # a controller that has just started has more urgent things to do
PAUSE_S = 10.0  # between two looks at the jobs whose runs ended: a thousand ends are one look
MOST_JOBS = 1000  # named in one query; with more, it looks at all


@dataclass(slots=True)
class Freed:
    """What was freed since the controller started."""

    runs: int = 0
    versions: int = 0
    blobs: int = 0
    bytes: int = 0


class Retention:
    """Forgets what is beyond each job's ``keep``, and the files that nothing refers to any more."""

    def __init__(
        self,
        database: Database,
        blobs: BlobDirectory,
        records: RunRecords,
        *,
        first_after_s: float = FIRST_AFTER_S,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._database, self._blobs, self._records = database, blobs, records
        self._first_after_s, self._pause_s = first_after_s, pause_s
        self._ended: set[str] = set()  # jobs of which a run ended
        self._wake = asyncio.Event()
        self.freed = Freed()

    def note(self, run: Run) -> None:
        """The run took a step: when it has ended, its job may have more runs or versions than it keeps."""
        if run.ended_at is not None:
            self._ended.add(run.job.name)
            self._wake.set()

    async def serve(self) -> None:
        """Forget, until cancelled: after runs ended what their jobs do not keep, and every hour whatever is left."""
        clock = asyncio.get_running_loop().time
        due = clock() + self._first_after_s
        while True:
            try:
                async with asyncio.timeout_at(due):
                    await self._wake.wait()
                    await asyncio.sleep(self._pause_s)
            except TimeoutError:
                await self._look(None)
                due = clock() + EVERY_S
                continue
            self._wake.clear()
            jobs, self._ended = self._ended, set()
            await self._look(jobs)

    async def _look(self, jobs: Collection[str] | None) -> None:
        try:
            if jobs is None:
                await self.forget_all()
                await self.sweep()
            else:
                await self.forget_of(jobs if len(jobs) <= MOST_JOBS else None)
        except (OSError, Unreachable) as error:  # such as a full disk: no reason to stop the controller
            log.warning("past not forgotten", extra={"reason": str(error)})

    async def forget_of(self, jobs: Collection[str] | None = None) -> None:
        """Forget what these jobs, or all, do not keep: a little in each transaction, so that nobody waits long."""
        for job in await self._database.read(lambda session: crowded(session, jobs=jobs)):
            await self._repeat(partial(forget, job=job), job)

    async def forget_all(self) -> None:
        """Forget what no job keeps, deleted ones included."""
        await self.forget_of()
        await self._repeat(forget_deleted, "")
        await self._database.write(forget_changes)
        await self._database.write(forget_servings)

    async def sweep(self, *, young_s: float = YOUNG_S) -> None:
        """Remove the files and blobs that nothing refers to: also what a crash left between a row and its files."""
        held = await asyncio.to_thread(self._records.attempts)  # first: whose files lie there now has its row by now
        known = await self._database.read(lambda session: set(session.exec(select(RunRow.id))))
        await asyncio.to_thread(self._records.forget, [attempt for attempt in held if attempt[0] not in known])
        swept = await sweep(self._database, self._blobs, young_s=young_s)
        self.freed.blobs += swept.blobs
        self.freed.bytes += swept.bytes
        if swept.blobs:
            log.info("blobs swept", extra={"blobs": swept.blobs, "bytes": swept.bytes})

    async def _repeat(self, some: Callable[[Session], Forgotten], job: str) -> None:
        runs = versions = 0
        while gone := await self._database.write(some):
            attempts = [(run_id, number + 1) for run_id, count in gone.runs for number in range(count)]
            await asyncio.to_thread(self._records.forget, attempts)
            runs, versions = runs + len(gone.runs), versions + gone.versions
        self.freed.runs += runs
        self.freed.versions += versions
        if runs or versions:
            log.info("past forgotten", extra={"job": job, "runs": runs, "versions": versions})
