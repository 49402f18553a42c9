"""For how long this edge has been without its controller: without the broker, or with none at its other end."""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path

from transport.mqtt import Link


class Contact:
    """Made before the first connection. Time counts on the monotonic clock, and goes on from a restart of the agent."""

    def __init__(self, mark: Path) -> None:
        """Go on counting from where a former agent was.

        Args:
            mark: a file that is there while there is no contact; it holds since when, by the wall clock.
        """
        self._mark = mark
        self._since: float | None = time.monotonic() - self._noted_s()
        self._changed = asyncio.Event()

    def heard(self, *, online: bool) -> None:
        """The controller, or the broker in its name, says whether it is there."""
        if not online:
            self._lose()
        elif self._since is not None:
            self._since = None
            self._mark.unlink(missing_ok=True)
            self._changed.set()

    async def follow(self, link: Link) -> None:
        """Notice when the connection breaks, until cancelled."""
        async for _ in link.connections():
            await link.lost()
            self._lose()

    async def gone_for(self, seconds: float) -> None:
        """Wait until there has been no contact for so long."""
        while True:
            self._changed = self._changed if not self._changed.is_set() else asyncio.Event()
            due = None if self._since is None else self._since + seconds - time.monotonic()
            if due is not None and due <= 0:
                return
            try:
                async with asyncio.timeout(due):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _lose(self) -> None:
        if self._since is None:
            self._since = time.monotonic()
            self._mark.write_text(datetime.now(UTC).isoformat(), encoding="utf-8")
            self._changed.set()

    def _noted_s(self) -> float:
        """For how long there had been no contact when the agent started."""
        now = datetime.now(UTC)
        try:
            since = datetime.fromisoformat(self._mark.read_text(encoding="utf-8"))
            return max(0.0, (now - since).total_seconds())
        except (OSError, ValueError, TypeError):
            self._mark.write_text(now.isoformat(), encoding="utf-8")
            return 0.0
