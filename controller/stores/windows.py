"""Maintenance windows in the control database."""

from datetime import datetime

from sqlmodel import Session, select

from controller.stores.tables import WindowRow
from schemas.errors import NotFound
from schemas.maintenance import MaintenanceWindow


def list_windows(session: Session) -> list[MaintenanceWindow]:
    """Every maintenance window, by name."""
    rows = session.exec(select(WindowRow).order_by(WindowRow.name))
    return [MaintenanceWindow.model_validate_json(row.spec) for row in rows]


def save_window(session: Session, *, spec: MaintenanceWindow, now: datetime) -> None:
    """Make or change a window. Caller commits."""
    row = session.get(WindowRow, spec.name) or WindowRow(name=spec.name, spec="", created_at=now)
    row.spec = spec.model_dump_json()
    session.add(row)


def delete_window(session: Session, *, name: str) -> None:
    """Delete a window: what waited for it may go on. Raises NotFound. Caller commits."""
    row = session.get(WindowRow, name)
    if row is None:
        raise NotFound(f"there is no maintenance window {name!r}")
    session.delete(row)
