"""A controller for the agent's tests, on the real transport: it says what it is told to, and keeps what it hears."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar, cast
from uuid import UUID, uuid4

from schemas import topics
from schemas.broker import BrokerAddress
from schemas.manifest import Manifest, WantedModel, WantedPipeline, WantedRun
from schemas.names import BlobRef
from schemas.report import Report
from schemas.runs import EdgeEvent, LogBatch, RunAck, RunEvent
from schemas.tasks import TaskScript, TaskSpec
from schemas.wire import ControllerPresence, Presence
from transport.blob_store import BlobDirectory
from transport.mqtt import Link, Subscription, connect
from transport.signing import SigningKey
from transport.transfer import BlobReceiver, BlobSender

EDGE = "press-1"
Kind = TypeVar("Kind", bound=EdgeEvent)

MODEL = 'import os; open(os.environ["model_file_path"], "w").write("model")\n'
"""The shortest script that ends well."""


def until_there(path: Path) -> str:
    """Script lines that wait for a file."""
    return f"import os, time\nwhile not os.path.exists({str(path)!r}): time.sleep(0.05)\n"


def mark_run(path: Path) -> str:
    """Script lines that leave one line in a file each time they run."""
    return f"open({str(path)!r}, 'a').write('ran\\n')\n"


class ScriptedController:
    """Publishes manifests, serves and pulls blobs, and keeps every event, log batch, report and presence."""

    def __init__(self, link: Link, blob_link: Link, folder: Path) -> None:
        self.key = SigningKey.load_or_create(folder / "key.pem")
        self.blobs = BlobDirectory(folder / "blobs")
        self.generation = 0
        self.acknowledges = True
        self.heard: list[RunEvent] = []  # repeats included
        self.logs: list[LogBatch] = []
        self.progress: list[LogBatch] = []
        self.reports: list[Report] = []
        self.presences: list[Presence] = []
        self._link, self._blob_link = link, blob_link
        self._sending: asyncio.Task[None] | None = None
        self._receiver = BlobReceiver(blob_link, self.blobs, me="controller")
        self._news = asyncio.Condition()

    @classmethod
    @asynccontextmanager
    async def running(cls, broker: BrokerAddress, folder: Path) -> "AsyncIterator[ScriptedController]":
        """Connect and listen for the length of the block."""
        async with connect(broker, "controller") as link, connect(broker, "controller-blobs") as blob_link:
            controller = cls(link, blob_link, folder)
            subscriptions = {
                family: await link.subscribe(family.filter())
                for family in (topics.RUN_EVENTS, topics.RUN_LOGS, topics.RUN_PROGRESS, topics.REPORT, topics.PRESENCE)
            }
            controller.send_blobs()
            work = [
                asyncio.create_task(controller._take_events(subscriptions[topics.RUN_EVENTS])),
                asyncio.create_task(controller._take(subscriptions[topics.RUN_LOGS], LogBatch, controller.logs)),
                asyncio.create_task(
                    controller._take(subscriptions[topics.RUN_PROGRESS], LogBatch, controller.progress)
                ),
                asyncio.create_task(controller._take(subscriptions[topics.REPORT], Report, controller.reports)),
                asyncio.create_task(controller._take(subscriptions[topics.PRESENCE], Presence, controller.presences)),
            ]
            try:
                yield controller
            finally:
                await controller.send_no_blobs()
                for task in work:
                    task.cancel()
                await asyncio.gather(*work, return_exceptions=True)

    def send_blobs(self, *, rate_bytes_s: float | None = None) -> None:
        """Answer asks for blobs, as from the start, or no faster than this."""
        sender = BlobSender(self._blob_link, self.blobs, rate_bytes_s=rate_bytes_s)
        self._sending = asyncio.create_task(sender.serve())

    async def send_no_blobs(self) -> None:
        """Leave asks for blobs unanswered, as a controller does that is away."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait({self._sending})
            await self._blob_link.unsubscribe(topics.BLOB_ASK.filter())

    def run(self, script: str, *, attempt: int = 1, run_id: UUID | None = None, **spec: object) -> WantedRun:
        """A run of one script, its spec and blobs ready to be pulled; no word of the network is in its log."""
        run_id = run_id or uuid4()
        scripts = (TaskScript(name="train.py", blob=self.blobs.put_bytes(script.encode())),)
        limits = {"network": "allow"} | cast("dict[str, object]", spec.get("limits", {}))
        task = TaskSpec.model_validate({"run_id": run_id, "job": "job", "scripts": scripts, **spec, "limits": limits})
        return WantedRun(run_id=run_id, attempt=attempt, spec=self.blobs.put_bytes(task.model_dump_json().encode()))

    async def want(
        self,
        *runs: WantedRun,
        models: tuple[WantedModel, ...] = (),
        pipelines: tuple[WantedPipeline, ...] = (),
    ) -> bytes:
        """Publish the next manifest; returns what was published."""
        self.generation += 1
        manifest = Manifest(edge=EDGE, generation=self.generation, runs=runs, models=models, pipelines=pipelines)
        payload = self.key.sign(manifest).model_dump_json().encode()
        await self.publish_manifest(payload)
        return payload

    async def publish_manifest(self, payload: bytes) -> None:
        """Publish any bytes as the edge's manifest."""
        await self._link.publish(topics.MANIFEST.to(edge=EDGE), payload, retain=True)

    async def be_born(self) -> None:
        """Announce a new session, as after a restart."""
        presence = ControllerPresence(online=True, session_id=uuid4().hex)
        await self._link.publish(topics.CONTROLLER_PRESENCE.to(), presence.to_wire(), retain=True)

    async def die(self) -> None:
        """Have it said that this controller is gone, as its last will does."""
        presence = ControllerPresence(online=False, session_id=uuid4().hex)
        await self._link.publish(topics.CONTROLLER_PRESENCE.to(), presence.to_wire(), retain=True)

    async def pull(self, ref: BlobRef) -> bytes:
        """Bring a blob here from the edge."""
        return (await self._receiver.fetch(EDGE, ref)).read_bytes()

    def told(self, run: WantedRun) -> list[RunEvent]:
        """What was told of an attempt, each sequence number once, in order."""
        ours = [event for event in self.heard if (event.run_id, event.attempt) == (run.run_id, run.attempt)]
        return sorted({event.sequence: event for event in ours}.values(), key=lambda event: event.sequence)

    async def until(self, holds: Callable[[], bool], *, timeout_s: float = 60) -> None:
        """Wait until something heard makes this true."""
        async with asyncio.timeout(timeout_s), self._news:
            await self._news.wait_for(holds)

    async def event(self, run: WantedRun, kind: type[Kind], *, timeout_s: float = 60) -> Kind:
        """Wait for the first event of this kind of an attempt."""

        def found() -> list[Kind]:
            return [told.event for told in self.told(run) if isinstance(told.event, kind)]

        await self.until(lambda: bool(found()), timeout_s=timeout_s)
        return found()[0]

    async def report(self, holds: Callable[[Report], bool], *, timeout_s: float = 60) -> Report:
        """Wait for a report of which this is true, the last one heard included."""
        await self.until(lambda: bool(self.reports) and holds(self.reports[-1]), timeout_s=timeout_s)
        return self.reports[-1]

    async def _take_events(self, messages: Subscription) -> None:
        async for message in messages:
            event = RunEvent.model_validate_json(message.payload)
            async with self._news:
                self.heard.append(event)
                self._news.notify_all()
            if self.acknowledges:
                ack = RunAck(run_id=event.run_id, attempt=event.attempt, sequence=event.sequence)
                topic = topics.RUN_ACKS.to(edge=EDGE, run=str(event.run_id))
                await self._link.publish(topic, ack.to_wire())

    async def _take(self, messages: Subscription, kind: type, kept: list) -> None:  # type: ignore[type-arg]
        async for message in messages:
            async with self._news:
                kept.append(kind.model_validate_json(message.payload))  # type: ignore[attr-defined]
                self._news.notify_all()
