"""Whether a run can go to its edge now, and what the edge gets with it."""

from sqlmodel import Session

from controller.runs.steps import Dispatched, Event, Found, Run, Waits
from controller.secrets import Secrets
from controller.stores.database import Database
from controller.stores.edges import get_edge, report_of
from controller.stores.runs import live_runs
from controller.stores.tables import EdgeRow
from schemas.errors import NotFound
from schemas.runs import ON_EDGE, RunState

_OCCUPYING = ON_EDGE - {RunState.UPLOADING, RunState.CHECKING}
"""The states in which a run uses its edge's processor."""


class Dispatcher:
    """Decides for queued runs whose data is selected."""

    def __init__(self, database: Database, secrets: Secrets) -> None:
        self._database, self._secrets = database, secrets

    async def decide(self, run: Run) -> Event:
        """Dispatched, or waits with the reason.

        Secrets are sealed here, once for each attempt: a manifest that is written anew names the same blob.
        """
        return await self._database.read(lambda session: self._decide(session, run))

    def _decide(self, session: Session, run: Run) -> Event:
        event = may_start(session, run)
        if not isinstance(event, Dispatched):
            return event
        try:
            return Dispatched(self._secrets.seal(session, run=run, edge=run.edge, attempt=run.attempt + 1))
        except NotFound as error:
            return Waits(str(error))


def may_start(session: Session, run: Run) -> Event:
    """Whether the run's edge is there and has room: ``Dispatched``, or ``Waits`` with the reason.

    An edge that comes back is asked first whether it still has the attempt that it was given: ``Found``.
    """
    try:
        edge = get_edge(session, name=run.edge)
    except NotFound as error:
        return Waits(str(error))
    report = report_of(edge)
    reason = _absence(edge)
    if not reason and report is not None:
        if run.exited is None and any((task.run_id, task.attempt) == (run.id, run.attempt) for task in report.tasks):
            return Found(run.attempt)
        reason = _lack_of_room(session, run, report.capabilities.max_tasks)
    if not reason:
        return Dispatched()
    return Waits(f"{reason}; attempt {run.attempt} was lost" if run.attempt else reason)


def _absence(edge: EdgeRow) -> str:
    """Why nothing can be given to an edge now; empty if it is there and has said what it has."""
    if not edge.online:
        since = f" since {edge.since:%Y-%m-%d %H:%M:%S} UTC" if edge.since else ": it was never seen"
        return f"{edge.name} is offline{since}"
    if edge.reported_at is None or (edge.since is not None and edge.reported_at < edge.since):
        return f"{edge.name} is back and has not reported yet"
    return ""


def _lack_of_room(session: Session, run: Run, max_tasks: int) -> str:
    """Why the edge can take no more tasks now; empty if it can."""
    busy = [other for other in live_runs(session, edge=run.edge) if other.state in _OCCUPYING]
    if len(busy) >= max_tasks:
        jobs = ", ".join(sorted({other.job.name for other in busy}))
        return f"{run.edge} is busy with {len(busy)} of {max_tasks} tasks: {jobs}"
    return ""
