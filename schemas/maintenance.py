"""When what edges hold and run may change."""

from typing import Annotated

from pydantic import Field, model_validator

from schemas.names import Duration, EdgeName, Name
from schemas.schedules import Schedule
from schemas.written import Written


class MaintenanceWindow(Written):
    """While it is open, rollouts may change its edges; edges of no window may be changed at any time.

    An edge of several windows may be changed while any of them is open. Going back never waits for a window.
    """

    name: Name
    edges: tuple[EdgeName, ...] = ()
    labels: dict[str, str] = {}  # edges that have all of these
    opens: str  # five fields of cron
    timezone: str = "UTC"
    lasts: Annotated[Duration, Field(ge=60)]

    @model_validator(mode="after")
    def _sound(self) -> "MaintenanceWindow":
        if not self.edges and not self.labels:
            raise ValueError("a window names its `edges`, or `labels` that edges must have")
        self.schedule  # noqa: B018 - whose own checks are run
        return self

    @property
    def schedule(self) -> Schedule:
        """When it opens. Raises ValueError if that is no time."""
        return Schedule(cron=self.opens, timezone=self.timezone)

    def is_of(self, edge: EdgeName, labels: dict[str, str]) -> bool:
        """Whether it is of an edge with these labels."""
        if edge in self.edges:
            return True
        return bool(self.labels) and all(labels.get(key) == value for key, value in self.labels.items())
