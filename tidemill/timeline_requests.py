"""The requests about what changed when, and when what may change."""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice

from schemas.deployment_views import ChangeView, MaintenanceWindowView, ServingView
from tidemill.asking import Asking, path_of


class TimelineRequests(Asking):
    """One method for each request; see ``Client``."""

    def timeline(self, *, edge: str | None = None, subject: str | None = None, most: int = 100) -> list[ChangeView]:
        """Every change with its cause, newest first: on an edge, or of a subject such as ``model iris``."""
        query = {"edge": edge, "subject": subject, "limit": str(min(most, 1000))}
        lines: Iterator[ChangeView] = self._all("timeline", ChangeView, query)
        return list(islice(lines, most))

    def servings(
        self, *, edge: str | None = None, model: str | None = None, at: datetime | None = None
    ) -> list[ServingView]:
        """Which versions answered, newest first; with ``at``, those that did at that moment."""
        query = {"edge": edge, "model": model, "at": at.isoformat() if at else None}
        return list(self._all("servings", ServingView, query))

    def windows(self) -> list[MaintenanceWindowView]:
        """Every maintenance window, by name."""
        return list(self._all("maintenance-windows", MaintenanceWindowView))

    def delete_window(self, name: str) -> None:
        """Delete a maintenance window; what waited for it may go on at once."""
        self._exchange.send("DELETE", path_of("maintenance-windows", name))
