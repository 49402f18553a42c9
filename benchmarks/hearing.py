"""When each step of each run was, heard from what passes between controller and edge."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from schemas import topics
from schemas.manifest import Manifest, SignedManifest
from schemas.runs import RunEvent
from tests.e2e.world import World
from transport.mqtt import Link, connect


@dataclass(slots=True)
class Heard:
    """The first time of each step, by the clock of whoever made it."""

    moments: dict[UUID, dict[str, datetime]] = field(default_factory=dict)

    def note(self, run: UUID, step: str, at: datetime) -> None:
        """Keep a step's time, unless it is known: messages come more than once."""
        self.moments.setdefault(run, {}).setdefault(step, at)

    async def take_manifests(self, link: Link) -> None:
        """Note when runs were dispatched."""
        async for message in await link.subscribe(topics.MANIFEST.filter()):
            signed = SignedManifest.model_validate_json(message.payload)
            manifest = Manifest.model_validate_json(signed.payload)
            for run in manifest.runs:
                self.note(run.run_id, "signed", manifest.sent_at)

    async def take_events(self, link: Link) -> None:
        """Note what the edge tells of runs."""
        async for message in await link.subscribe(topics.RUN_EVENTS.filter()):
            told = RunEvent.model_validate_json(message.payload)
            self.note(told.run_id, told.event.kind, told.sent_at)


@asynccontextmanager
async def listening(world: World) -> AsyncIterator[Heard]:
    """Hear the runs for the length of the block."""
    heard = Heard()
    async with (
        connect(world.broker.address, "bench-hearing") as link,
        in_background(heard.take_manifests(link), heard.take_events(link)),
    ):
        yield heard


@asynccontextmanager
async def in_background(*work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Do this work beside the block; it is cancelled at the end, and its failure fails the block."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in work]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
