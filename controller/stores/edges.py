"""Edges in the control database: enrolled, what was published to them, what they said."""

import json
from datetime import datetime

from sqlmodel import Session, select

from controller.stores.tables import EdgeRow
from schemas.errors import Conflict, NotFound
from schemas.report import Report
from schemas.wire import Presence


def add_edge(session: Session, *, name: str, labels: dict[str, str], sealing_key: str, now: datetime) -> EdgeRow:
    """Enrol an edge. Raises Conflict when the name is taken. Caller commits."""
    refuse_known(session, name=name)
    row = EdgeRow(name=name, labels=json.dumps(labels), added_at=now, sealing_key=sealing_key)
    session.add(row)
    session.flush()
    return row


def refuse_known(session: Session, *, name: str) -> None:
    """Raise Conflict when there is an edge of that name."""
    if session.get(EdgeRow, name) is not None:
        raise Conflict(f"there is an edge {name!r} already")


def get_edge(session: Session, *, name: str) -> EdgeRow:
    """An enrolled edge. Raises NotFound."""
    row = session.get(EdgeRow, name)
    if row is None:
        raise NotFound(f"there is no edge {name!r}; `tidemill edge add {name}` enrols one")
    return row


def list_edges(session: Session) -> list[EdgeRow]:
    """Every enrolled edge, by name."""
    return list(session.exec(select(EdgeRow).order_by(EdgeRow.name)))


def labels_of(row: EdgeRow) -> dict[str, str]:
    """The labels given when it was enrolled; an edge does not label itself, since labels decide what it is sent."""
    labels: dict[str, str] = json.loads(row.labels)
    return labels


def set_labels(session: Session, *, name: str, labels: dict[str, str]) -> EdgeRow:
    """Give an edge these labels in place of those that it has. Raises NotFound. Caller commits."""
    row = get_edge(session, name=name)
    row.labels = json.dumps(labels)
    session.add(row)
    return row


def note_presence(session: Session, *, presence: Presence, now: datetime) -> bool:
    """Note who came or went; False if nothing changed. Caller commits.

    The broker may publish the will of an earlier session late: only the present session goes offline.
    """
    row = session.get(EdgeRow, presence.edge)
    if row is None or (not presence.online and row.session_id != presence.session_id):
        return False
    if row.online == presence.online and row.session_id == presence.session_id:
        return False
    row.online, row.session_id, row.since = presence.online, presence.session_id, now
    session.add(row)
    return True


def note_report(session: Session, *, report: Report, now: datetime) -> EdgeRow | None:
    """Keep what an edge says of itself; None if it is not enrolled. Caller commits."""
    row = session.get(EdgeRow, report.edge)
    if row is not None:
        row.report, row.reported_at = report.model_dump_json(), now
        session.add(row)
    return row


def report_of(row: EdgeRow) -> Report | None:
    """What the edge said last."""
    return Report.model_validate_json(row.report) if row.report else None
