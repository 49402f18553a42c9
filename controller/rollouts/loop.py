"""The loop that moves edges to what deployments stand for, and what people order of it."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import TypeVar

from sqlmodel import Session

from controller.manifests import Manifests
from controller.rollouts.steps import Looked, look_at_all
from controller.stores.database import Database
from schemas.errors import Unreachable

log = logging.getLogger(__name__)

Ordered = TypeVar("Ordered")

LIVE_S = 1.0  # while a rollout is under way: it may have baked, or a window may have opened
IDLE_S = 15.0  # else: an edge may wait for its window
NEWS_S = 0.2  # many edges report at once: their reports are looked at together


class Rollouts:
    """Looks at all deployments whenever something has happened that they may depend on, and now and then."""

    def __init__(self, database: Database, manifests: Manifests, *, clock: Callable[[], datetime]) -> None:
        self._database, self._manifests, self._clock = database, manifests, clock
        self._news = asyncio.Event()
        self._live = True

    def look(self) -> None:
        """What a deployment stands for, or which edges it means, may have changed."""
        self._news.set()

    async def promoted(self, _model: str) -> None:
        """An alias of a model was moved."""
        self.look()

    def reported(self) -> None:
        """An edge came, went, or told how it does."""
        if self._live:
            self._news.set()

    async def order(self, change: Callable[[Session, datetime], Ordered]) -> Ordered:
        """Carry out what a person orders of a rollout, and go on from there in the same transaction."""

        def save(session: Session) -> tuple[Ordered, Looked]:
            ordered = change(session, self._clock())
            return ordered, look_at_all(session, now=self._clock())

        ordered, looked = await self._database.write(save)
        self._tell(looked)
        return ordered

    async def serve(self) -> None:
        """Look, until cancelled; what was saved before a crash and told nobody is told by the manifests' first look."""
        await self._manifests.mark_all()
        while True:
            self._news.clear()
            try:
                self._tell(await self._database.write(lambda session: look_at_all(session, now=self._clock())))
            except Unreachable as error:
                log.warning("deployments are looked at later", extra={"reason": str(error)})
            with suppress(TimeoutError):
                async with asyncio.timeout(LIVE_S if self._live else IDLE_S):
                    await self._news.wait()
                    if self._live:
                        await asyncio.sleep(NEWS_S)

    def _tell(self, looked: Looked) -> None:
        self._live = looked.live
        for edge in sorted(looked.edges):
            self._manifests.mark(edge)
