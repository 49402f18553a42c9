"""What every document on the wire has in common, and who is there."""

from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from schemas.names import EdgeName


class Wire(BaseModel):
    """What every document on the wire carries."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # old edges survive new controllers
    v: Literal[1] = 1
    sent_at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))

    def to_wire(self) -> bytes:
        """The bytes to publish."""
        return self.model_dump_json().encode()


class Presence(Wire):
    """Edge → controller, retained, and the edge's last will."""

    edge: EdgeName
    online: bool
    session_id: str  # a late will of an earlier session must not put a newer one offline


class ControllerPresence(Wire):
    """Controller → all, retained, and its last will: a new session makes every edge say anew what is."""

    online: bool
    session_id: str
