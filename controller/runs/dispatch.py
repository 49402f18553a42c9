"""Gives queued runs to edges: who goes first, to which edge, and what the edge gets with it."""

from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from controller.runs.machine import may_be_alive
from controller.runs.placement import Placement
from controller.runs.places import Places
from controller.runs.steps import Dispatched, Event, Failed, Found, Gone, Run, Waits
from controller.secrets import Secrets
from controller.stores.live_runs import live_revisions, tasks_on_edges
from schemas.errors import NotFound, TaskFailed


class Dispatcher:
    """Decides for all queued runs at once, in the transaction that saves the decisions: no slot is given twice."""

    def __init__(self, secrets: Secrets, silent_s: Callable[[str], float], *, clock: Callable[[], datetime]) -> None:
        self._secrets, self._clock = secrets, clock
        self._places = Places(silent_s)

    def decide(self, session: Session, waiting: Collection[Run]) -> list[tuple[UUID, Event]]:
        """What becomes of each queued run whose data is selected: dispatched, found, or waits with the reason.

        An edge that is back is asked first whether it still has the attempt that it was given.
        """
        revisions = live_revisions(session)
        unmoved = [run for run in waiting if revisions.get(run.id) == run.revision]
        named = {name for run in unmoved for name in (run.job.edge, run.edge) if name}
        by_labels = any(run.job.edge is None for run in unmoved)
        placement = Placement(self._places.read(session, None if by_labels else named), tasks_on_edges(session))
        found = {run.id: run for run in unmoved if _is_found(run, placement)}
        for run in found.values():
            placement.take(run.edge, run.job.name)
        decisions: list[tuple[UUID, Event]] = [(run.id, Found(run.attempt)) for run in found.values()]
        for run in in_order(run for run in unmoved if run.id not in found):
            event = self._next(session, run, placement)
            if event is not None and event != Waits(run.reason):
                decisions.append((run.id, event))
        return decisions

    def _next(self, session: Session, run: Run, placement: Placement) -> Event | None:
        if may_be_alive(run) and not run.job.silence.replace:
            return _wait_for_attempt(run, placement)
        if run.not_before is not None and run.not_before > self._clock():
            return None
        try:
            edge = placement.choose(run)
        except LookupError as error:
            return Waits(_with_attempt(run, str(error.args[0])))
        try:  # sealed once for each attempt: a manifest that is written anew names the same blob
            secrets = self._secrets.seal(session, run=run, edge=edge, attempt=run.attempt + 1)
        except NotFound as error:
            return Waits(_with_attempt(run, str(error)))
        except TaskFailed as error:
            return Failed(run.attempt, str(error))
        placement.take(edge, run.job.name)
        return Dispatched(run.attempt + 1, edge, secrets)


def in_order(waiting: Iterable[Run]) -> list[Run]:
    """The most urgent first: by priority, then the oldest."""
    return sorted(waiting, key=lambda run: (-run.priority, run.created_at, run.scheduled_at, run.id))


def _is_found(run: Run, placement: Placement) -> bool:
    place = placement.place(run.edge)
    there = place is not None and not place.absence_for(run.job) and (run.id, run.attempt) in place.tasks
    return may_be_alive(run) and there


def _wait_for_attempt(run: Run, placement: Placement) -> Event:
    place = placement.place(run.edge)
    if place is None:
        return Gone(run.attempt, f"{run.edge} is enrolled no more")
    absence = place.absence_for(run.job)
    if not absence:
        return Gone(run.attempt, f"{run.edge} is back without attempt {run.attempt}")
    return Waits(f"{run.edge} {absence}; its attempt {run.attempt} is waited for (silence.replace: false)")


def _with_attempt(run: Run, reason: str) -> str:
    if run.attempt == 0:
        return reason
    return f"{reason}; waits for attempt {run.attempt + 1} of {run.job.retry.max_attempts}"
