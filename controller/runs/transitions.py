"""Applies events to saved runs: read, advanced and written in one transaction, then told to those who listen."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from controller.runs.live import LiveRuns
from controller.runs.machine import advance
from controller.runs.steps import Event, Run
from controller.stores.database import Database
from controller.stores.runs import get_row, save_step, to_run

Decide = Callable[[Session], list[tuple[UUID, Event]]]
"""What happens to which runs, decided in the transaction that saves it."""

Also = Callable[[Session, Run], None]
"""What is written in the same transaction as a step, given the run after it."""

Listener = Callable[[Run, Run], None]
"""Told of every step: the run before and after it."""


class Transitions:
    """The only way for a run to move."""

    def __init__(self, database: Database, live: LiveRuns, on_step: Listener, *, clock: Callable[[], datetime]) -> None:
        self._database, self._live, self._on_step, self._clock = database, live, on_step, clock

    async def apply(self, decide: Decide, *, also: Also | None = None) -> list[Run]:
        """Apply what is decided, all of it or nothing, with ``also`` for each run that moved; gives the runs after.

        Raises:
            NotFound: there is no such run.
            InvalidTransition: our own bug.
        """

        def work(session: Session) -> list[tuple[Run, Run]]:
            return [self._save(session, run_id, event, also) for run_id, event in decide(session)]

        steps = await self._database.write(work)
        for before, after in steps:
            if after != before:
                self._on_step(before, after)
        return [after for _, after in steps]

    def _save(self, session: Session, run_id: UUID, event: Event, also: Also | None) -> tuple[Run, Run]:
        row = get_row(session, run_id=run_id)
        known = self._live.get(run_id)
        same = known is not None and (known.revision, known.job.name) == (row.revision, row.job)
        before = known if known is not None and same else to_run(row)
        after = advance(before, event, self._clock())
        if after == before:
            return before, before
        save_step(session, before=before, after=after)
        if also is not None:
            also(session, after)
        return before, replace(after, revision=before.revision + 1)
