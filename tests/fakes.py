"""An edge that runs no scripts, for crowds of edges: all else that it does is the agent's own, over a real broker."""

import asyncio
import random
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from uuid import UUID, uuid4

from edge_agent.contact import Contact
from edge_agent.events import Outbox
from edge_agent.execution.executor import TaskKey
from edge_agent.journal import Journal
from edge_agent.manifests import ManifestIntake
from edge_agent.presence import Announcer
from edge_agent.reporting import Reporter
from edge_agent.tasks.reconcile import AcceptTask, EndTask, steps
from edge_agent.tasks.task_machine import Ended, Launched, Launching, Noted, Task, TaskEvent, advance
from schemas import topics
from schemas.broker import BrokerAddress
from schemas.errors import TidemillError
from schemas.manifest import Manifest, WantedPipeline, WantedRun
from schemas.names import BlobRef, EdgeName
from schemas.report import Capabilities, PipelineState, PipelineStatus, Report, Returned, SinceSwap, TaskStatus
from schemas.runs import Exited, LogBatch, Outcome, Outputs, Started
from schemas.tasks import TaskSpec
from tests.onnx_graphs import times
from transport.blob_store import BlobDirectory
from transport.mqtt import Link, connect
from transport.transfer import BlobReceiver, BlobSender

_FACTOR = 12345.0
_CAPABILITIES = Capabilities(executors=("process",), cpus=1, memory_bytes=2**30, platform="simulated")

OnAccepted = Callable[[UUID, datetime], None]
"""Told of each task that is taken, and when the manifest that wants it was made."""


Fault = Literal["", "load", "slow", "failing"]
"""What is wrong with a pipeline's content on an edge: it cannot be loaded, takes long, or fails messages."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How simulated edges behave."""

    task_s: float = 1.0  # that a task's scripts take
    report_every_s: float = 30.0
    on_accepted: OnAccepted = lambda _run, _at: None
    fault: Callable[[EdgeName, WantedPipeline], Fault] = lambda _edge, _pipeline: ""


class SimulatedEdge:
    """Takes manifests, tells of tasks, reports, and serves a model of its own for each run; says that it answers.

    Its journal is in memory, and one connection serves where an agent has two. A model that a task is said to have
    made multiplies by a number that no other has.
    """

    def __init__(
        self,
        name: EdgeName,
        *,
        session_id: str,
        public_key: str,
        journal: Journal,
        folder: Path,
        link: Link,
        manner: Manner,
    ) -> None:
        self._name, self._journal, self._link, self._manner = name, journal, link, manner
        self._session_id, self._since = session_id, datetime.now(UTC)
        self._blobs = BlobDirectory(folder / "blobs")
        self._template = times(folder / "model.onnx", _FACTOR).read_bytes()
        self._contact = Contact(folder / "cut-off")
        self._intake = ManifestIntake(journal, name, public_key)
        self._outbox = Outbox(link, journal, name)
        self._reporter = Reporter(link, every_s=manner.report_every_s)
        self._receiver = BlobReceiver(link, self._blobs, me="edge")
        self._tasks: dict[TaskKey, Task] = {}
        self._work: dict[TaskKey, asyncio.Task[None]] = {}
        self._held: dict[TaskKey, list[BlobRef]] = {}  # blobs of a task alone
        self._served: dict[str, WantedPipeline] = {}
        self._returned: dict[str, Returned] = {}

    @classmethod
    @asynccontextmanager
    async def running(
        cls, name: EdgeName, broker: BrokerAddress, public_key: str, folder: Path, manner: Manner
    ) -> AsyncIterator[None]:
        """An edge that is there for the length of the block, and gone without a word at its end."""
        folder.mkdir(parents=True)
        session_id = uuid4().hex
        announcer = Announcer(name, session_id)
        with Journal.open(Path(":memory:")) as journal:
            async with connect(broker, name, will=announcer.will) as link, asyncio.TaskGroup() as group:
                edge = cls(
                    name,
                    session_id=session_id,
                    public_key=public_key,
                    journal=journal,
                    folder=folder,
                    link=link,
                    manner=manner,
                )
                serving = group.create_task(edge.serve(announcer), name=f"simulated {name}")
                try:
                    yield
                finally:
                    serving.cancel()

    async def serve(self, announcer: Announcer) -> None:
        """Do what an edge does, until cancelled."""
        acks = await self._link.subscribe_patiently(topics.RUN_ACKS.filter(edge=self._name))
        manifests = await self._link.subscribe_patiently(topics.MANIFEST.to(edge=self._name))
        controller = await self._link.subscribe_patiently(topics.CONTROLLER_PRESENCE.to())
        async with asyncio.TaskGroup() as group:
            group.create_task(announcer.follow_connections(self._link, self._tell_anew))
            group.create_task(announcer.follow_controller(self._link, controller, self._contact, self._tell_anew))
            group.create_task(self._outbox.serve())
            group.create_task(self._outbox.take_acknowledgements(acks))
            group.create_task(self._reporter.serve(self._report))
            group.create_task(BlobSender(self._link, self._blobs, edge=self._name).serve())
            group.create_task(self._follow(group))
            async for _ in self._intake.serve(manifests):
                self._reporter.changed()

    async def _follow(self, group: asyncio.TaskGroup) -> None:
        async for manifest in self._intake.changes():
            fences = {run.run_id: self._journal.fence(run.run_id) for run in manifest.runs}
            for step in steps(manifest, self._tasks, fences):
                match step:
                    case EndTask(key):
                        self._end(key)
                    case AcceptTask(wanted):
                        self._accept(wanted, manifest, group)
            self._serve_pipelines(manifest)
            self._changed()

    def _serve_pipelines(self, manifest: Manifest) -> None:
        """What cannot be loaded does not replace what answers; the rest does at once."""
        wanted = {pipeline.name: pipeline for pipeline in manifest.pipelines}
        self._served = {name: pipeline for name, pipeline in self._served.items() if name in wanted}
        self._returned = {}
        for name, pipeline in wanted.items():
            if self._manner.fault(self._name, pipeline) == "load":
                about = pipeline.content_id, pipeline.version
                self._returned[name] = Returned(
                    content_id=about[0], version=about[1], reason="it does not load", at=datetime.now(UTC)
                )
            else:
                self._served[name] = pipeline

    def _status(self, pipeline: WantedPipeline) -> PipelineStatus:
        fault = self._manner.fault(self._name, pipeline)
        failed = 50 if fault == "failing" else 0
        swap = SinceSwap(
            since=self._since, answered=100 - failed, failed=failed, p95_s=2.0 if fault == "slow" else 0.001
        )
        return PipelineStatus(
            name=pipeline.name,
            version=pipeline.version,
            state=PipelineState.LISTENING,
            content_id=pipeline.content_id,
            models={ref: model.version for ref, model in pipeline.models.items()},
            returned=self._returned.get(pipeline.name),
            since_swap=swap,
        )

    def _accept(self, wanted: WantedRun, manifest: Manifest, group: asyncio.TaskGroup) -> None:
        task = self._journal.accept(wanted)
        self._tasks[task.key], self._held[task.key] = task, []
        self._manner.on_accepted(wanted.run_id, manifest.sent_at)
        self._work[task.key] = group.create_task(self._carry_on(task), name=f"task {task.key}")

    def _end(self, key: TaskKey) -> None:
        self._work.pop(key).cancel()
        self._journal.forget(key)
        del self._tasks[key]
        for ref in self._held.pop(key):
            self._blobs.delete(ref.digest)

    async def _carry_on(self, task: Task) -> None:
        key = task.key
        self._save(key, Noted("its inputs are fetched"))
        try:
            spec = TaskSpec.model_validate_json((await self._fetch(key, task.spec)).read_bytes())
            for script in spec.scripts:
                await self._receiver.fetch(self._name, script.blob)  # the same for each run: kept
            for given in spec.data:
                await self._fetch(key, given.blob)
        except TidemillError as error:
            self._save(key, Ended(Exited(outcome=Outcome.PREPARE_FAILED, reason=str(error))))
            return
        self._save(key, Launching(Started(executor="process"), datetime.now(UTC)))
        self._save(key, Launched("simulated"))
        lines = LogBatch(run_id=key.run_id, attempt=key.attempt, first_line=0, lines=("training",))
        await self._link.publish(topics.RUN_LOGS.to(edge=self._name, run=str(key.run_id)), lines.to_wire())
        await asyncio.sleep(self._manner.task_s)
        model = self._template.replace(struct.pack("<f", _FACTOR), struct.pack("<f", random.uniform(1.0, 2.0)))
        log = f"training\ndone: {key.run_id}\n".encode()
        outputs = Outputs(model=self._keep(key, model), metrics=dict.fromkeys(spec.metrics, random.random()))
        exited = Exited(
            outcome=Outcome.OK, exit_code=0, script_s=self._manner.task_s, outputs=outputs, log=self._keep(key, log)
        )
        self._save(key, Ended(exited))

    async def _fetch(self, key: TaskKey, ref: BlobRef) -> Path:
        self._held[key].append(ref)
        return await self._receiver.fetch(self._name, ref)

    def _keep(self, key: TaskKey, data: bytes) -> BlobRef:
        ref = self._blobs.put_bytes(data)
        self._held[key].append(ref)
        return ref

    def _save(self, key: TaskKey, event: TaskEvent) -> None:
        task, tell = advance(self._tasks[key], event)
        self._tasks[key] = self._journal.save(task, tell)
        self._changed()

    def _changed(self) -> None:
        self._outbox.wake()
        self._reporter.changed()

    def _tell_anew(self) -> None:
        self._outbox.send_again()
        self._reporter.changed()

    def _report(self) -> Report:
        tasks = (TaskStatus(run_id=key.run_id, attempt=key.attempt, state=t.state) for key, t in self._tasks.items())
        return Report(
            edge=self._name,
            session_id=self._session_id,
            generation=self._intake.generation,
            agent_version="simulated",
            started_at=self._since,
            capabilities=_CAPABILITIES,
            tasks=tuple(tasks),
            pipelines=tuple(self._status(pipeline) for pipeline in self._served.values()),
            disk_free_bytes=2**34,
            load=0.0,
        )
