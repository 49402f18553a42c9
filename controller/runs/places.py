"""The edges of the control database as placement sees them."""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select

from controller.runs.placement import Place
from controller.stores.edges import report_of
from controller.stores.tables import EdgeRow
from schemas.report import Capabilities


@dataclass(frozen=True, slots=True)
class _Said:
    """What placement needs of a report."""

    at: datetime | None  # on the controller's clock
    capabilities: Capabilities | None = None
    load: float = 0.0
    tasks: frozenset[tuple[UUID, int]] = frozenset()


class Places:
    """Reads edges, and parses each report once. Not for two threads at a time."""

    def __init__(self, silent_s: Callable[[str], float]) -> None:
        self._silent_s = silent_s
        self._said: dict[str, _Said] = {}

    def read(self, session: Session, names: Collection[str] | None) -> list[Place]:
        """The edges of these names, or all, as they are now."""
        columns = select_columns(
            col(EdgeRow.name),
            col(EdgeRow.labels),
            col(EdgeRow.online),
            col(EdgeRow.since),
            col(EdgeRow.reported_at),
            col(EdgeRow.revoked_at),
        )
        if names is not None:
            columns = columns.where(col(EdgeRow.name).in_(names))
        rows = session.connection().execute(columns).all()
        self._hear(session, [name for name, *_, at, _ in rows if name not in self._said or self._said[name].at != at])
        found = []
        for name, labels, online, since, _, revoked_at in rows:
            said = self._said[name]
            absence = "is revoked" if revoked_at else absence_of(online=online, since=since, reported_at=said.at)
            about = said.capabilities, said.load, said.tasks
            found.append(Place(name, json.loads(labels), absence, self._silent_s(name), *about))
        return found

    def _hear(self, session: Session, names: Collection[str]) -> None:
        for row in session.exec(select(EdgeRow).where(col(EdgeRow.name).in_(names))) if names else ():
            report = report_of(row)
            self._said[row.name] = _Said(row.reported_at)
            if report is not None:
                tasks = frozenset((task.run_id, task.attempt) for task in report.tasks)
                self._said[row.name] = _Said(row.reported_at, report.capabilities, report.load, tasks)


def absence_of(*, online: bool, since: datetime | None, reported_at: datetime | None) -> str:
    """Why nothing can be given to an edge now, to be read behind its name; empty if it is there and has reported."""
    if not online:
        return f"is offline since {since:%Y-%m-%d %H:%M:%S} UTC" if since else "is offline: it was never seen"
    if reported_at is None or (since is not None and reported_at < since):
        return "is back and has not reported yet"
    return ""
