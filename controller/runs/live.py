"""The live runs as they were seen last: each is parsed once for each of its steps."""

from collections.abc import Iterator
from uuid import UUID

from sqlmodel import Session

from controller.runs.steps import Run
from controller.stores.database import Database
from controller.stores.live_runs import live_revisions, load_runs
from schemas.runs import LIVE


class LiveRuns:
    """A copy in memory. Nothing is decided by it alone: every step looks at the run's row again."""

    def __init__(self) -> None:
        self._runs: dict[UUID, Run] = {}

    def __iter__(self) -> Iterator[Run]:
        return iter(list(self._runs.values()))

    def __len__(self) -> int:
        return len(self._runs)

    def get(self, run_id: UUID) -> Run | None:
        """The run, if it is live."""
        return self._runs.get(run_id)

    def note(self, run: Run) -> None:
        """The run has made a step."""
        known = self._runs.get(run.id)
        if run.state not in LIVE:
            self._runs.pop(run.id, None)
        elif known is None or known.revision < run.revision:
            self._runs[run.id] = run

    async def refresh(self, database: Database) -> set[UUID]:
        """Look for what came, went or moved without being noted; gives the ids of what came or moved."""
        known = {run.id: run.revision for run in self._runs.values()}

        def look(session: Session) -> tuple[dict[UUID, int], list[Run]]:
            revisions = live_revisions(session)
            changed = [run_id for run_id, revision in revisions.items() if known.get(run_id, -1) < revision]
            return revisions, load_runs(session, ids=changed)

        revisions, changed = await database.read(look)
        for run_id in known.keys() - revisions.keys():
            self._runs.pop(run_id, None)
        for run in changed:
            self.note(run)
        return {run.id for run in changed}
