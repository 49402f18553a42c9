"""Maintenance windows: listed, deleted; ``apply`` makes them."""

from datetime import datetime

from fastapi import APIRouter
from sqlmodel import Session

from controller.http.services import Parts
from controller.rollouts.windows import open_until, opens_next
from controller.stores.edges import labels_of, list_edges
from controller.stores.tables import EdgeRow
from controller.stores.windows import delete_window, list_windows
from schemas.deployment_views import MaintenanceWindowView
from schemas.maintenance import MaintenanceWindow
from schemas.views import Page

router = APIRouter(tags=["maintenance windows"])


@router.get("/maintenance-windows")
async def all_windows(parts: Parts) -> Page[MaintenanceWindowView]:
    """Every maintenance window, by name: whether it is open, and the edges that it is of."""

    def look(session: Session) -> tuple[MaintenanceWindowView, ...]:
        edges = list_edges(session)
        return tuple(_view(window, edges, parts.clock()) for window in list_windows(session))

    return Page(items=await parts.database.read(look))


@router.delete("/maintenance-windows/{name}", status_code=204)
async def remove_window(name: str, parts: Parts) -> None:
    """Delete a window; what waited for it may go on at once."""
    await parts.fleet.remove(lambda session: delete_window(session, name=name))


def _view(window: MaintenanceWindow, edges: list[EdgeRow], now: datetime) -> MaintenanceWindowView:
    own = tuple(row.name for row in edges if window.is_of(row.name, labels_of(row)))
    until = open_until(window, now)
    return MaintenanceWindowView(
        spec=window, open=until is not None, changes_at=until or opens_next(window, now), edges=own
    )
