"""How long each edge has been silent: what leases are measured with."""

import time


class Heard:
    """When each edge was heard last, on the monotonic clock; a restarted controller gives every edge a fresh start."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._last: dict[str, float] = {}

    def note(self, edge: str) -> None:
        """The edge said something."""
        self._last[edge] = time.monotonic()

    def silent_s(self, edge: str) -> float:
        """Seconds since it was heard last, or since this controller started."""
        return time.monotonic() - self._last.get(edge, self._started)
