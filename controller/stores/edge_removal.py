"""Forgetting an edge in the control database."""

from datetime import datetime

from sqlalchemy import delete
from sqlmodel import Session, col, select

from controller.stores.changes import note_change
from controller.stores.edges import get_edge
from controller.stores.serving import list_deployments
from controller.stores.tables import JobRow, PlacementRow
from schemas.errors import Conflict
from schemas.jobs import JobSpec


def refuse_needed(session: Session, *, name: str) -> None:
    """Raise Conflict, which names them, when jobs or deployments name an edge; NotFound when there is none."""
    get_edge(session, name=name)
    jobs = (JobSpec.model_validate_json(spec) for spec in session.exec(select(JobRow.spec)))
    needing = [f"job {job.name}" for job in jobs if job.edge == name]
    needing += [f"deployment {spec.name}" for spec in list_deployments(session) if name in spec.edges]
    if needing:
        raise Conflict(
            f"edge {name} is named by {', '.join(needing)}: change these first. To have nothing to do with it at once: "
            f"tidemill edge revoke {name}"
        )


def remove_edge(session: Session, *, name: str, now: datetime) -> None:
    """Delete an edge; what answered there stays in the timeline. Raises as ``refuse_needed`` does. Caller commits."""
    refuse_needed(session, name=name)
    session.connection().execute(delete(PlacementRow).where(col(PlacementRow.edge) == name))
    session.delete(get_edge(session, name=name))
    note_change(session, kind="removed", subject=f"edge {name}", what="", at=now, edge=name)
