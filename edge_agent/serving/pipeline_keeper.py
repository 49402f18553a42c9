"""Keeps one pipeline's worker as it should be: running the wanted version, started again when it ends, or gone.

wanted ──▶ start ─▶ Load ─▶ Load (swap) ─▶ … ─ended▶ pause ─▶ start
   ├ paused ─▶ Stop ─▶ idle ─▶ start
   │                            └ other packages ─▶ Stop ─▶ start
   └ no longer ─▶ Leave, if it was one of several ─▶ Stop ─▶ have the broker forget its session ─▶ gone

What a group shares, the broker gives to one of its sessions and keeps for that one alone, also while its worker is
away: whoever ends the session must have answered it. For that a worker is started once more if need be.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from edge_agent.serving.pipeline_sessions import PipelineSessions
from edge_agent.serving.pipeline_standing import Standing
from edge_agent.serving.replicas import as_replica
from edge_agent.serving.state_folders import StateFolders
from edge_agent.shelf.ready import ReadyPipeline
from edge_agent.worker.crash_watch import CrashWatch
from edge_agent.worker.memory_watch import too_large
from edge_agent.worker.worker_process import WorkerProcess, worker_process
from edge_agent.worker.worker_protocol import SOUND_S, Answer, Connect, Leave, Left, Show, WorkerStatus
from schemas.broker import BrokerAddress
from schemas.errors import TidemillError, Unreachable
from schemas.pipelines import Outcome
from schemas.report import PipelineState, PipelineStatus
from schemas.topics import is_shared
from transport.mqtt import connect

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LAST_PAUSE_S = 0.5, 60.0
ANSWER_S = 3.0  # for a worker to tell what became of its messages
FORGET_S = 30.0  # to reach the broker, before it is tried again


@dataclass(frozen=True, slots=True)
class Remembered:
    """What outlives the agent, of all pipelines."""

    sessions: PipelineSessions
    states: StateFolders | None = None


class PipelineKeeper:
    """What one pipeline should be, and what it is."""

    def __init__(
        self,
        name: str,
        client_id: str,
        broker: BrokerAddress,
        remembered: Remembered,
        on_change: Callable[[], None],
    ) -> None:
        self._name, self._client_id, self._broker = name, client_id, broker
        self._sessions, self._states = remembered.sessions, remembered.states
        self._on_change = on_change
        self._wanted: ReadyPipeline | None = None
        self._farewell: ReadyPipeline | None = (
            None  # when no longer wanted: to answer with what the session still holds
        )
        self._has_left = False  # it holds nothing any more, or nothing that can be answered
        self._news = asyncio.Event()
        self._standing = Standing(name)
        self._pause_s = FIRST_PAUSE_S
        self._watch = CrashWatch()
        self._worker: WorkerProcess | None = None
        self._asked: dict[UUID, asyncio.Future[tuple[Outcome, ...]]] = {}

    def want(self, pipeline: ReadyPipeline) -> None:
        """Run this from now on. Wanting the same again changes nothing."""
        if pipeline == self._wanted:
            return
        if not pipeline.is_named_otherwise(self._wanted):
            self._watch.forgive()
        self._wanted, self._farewell, self._has_left = pipeline, None, False
        self._news.set()

    def leave(self, others: ReadyPipeline | None) -> None:
        """Be gone, and leave no message behind that another replica would have answered. May be said again.

        Args:
            others: The pipeline as the other replicas here have it, by which this one's last messages are answered too.
                While it is paused, they wait. None: there are no others, and what was wanted last does it.
        """
        last = self._wanted if self._wanted is not None and not self._wanted.spec.paused else self._farewell
        farewell = as_replica(others) if others is not None else last and as_replica(last)
        if self._wanted is None and farewell == self._farewell:
            return
        self._watch.forgive()
        self._wanted, self._farewell = None, farewell
        self._news.set()

    async def outcomes(self, count: int) -> tuple[Outcome, ...]:
        """What became of the last messages, newest first. Raises Unreachable when the worker does not answer."""
        if self._worker is None:
            raise Unreachable(f"the worker of {self._name} does not run: {self._standing.told.reason}")
        ask = uuid4()
        asked: asyncio.Future[tuple[Outcome, ...]] = asyncio.get_running_loop().create_future()
        self._asked[ask] = asked
        try:
            await self._worker.send(Show(ask=ask, count=count))
            async with asyncio.timeout(ANSWER_S):
                return await asked
        except TimeoutError as error:
            raise Unreachable(f"the worker of {self._name} did not answer within {ANSWER_S:g} s: it is busy") from error
        finally:
            del self._asked[ask]

    @property
    def unloadable(self) -> str:
        """The content_id of what its worker could not load; empty: there is nothing such."""
        return self._standing.told.unloadable

    @property
    def status(self) -> PipelineStatus | None:
        """What the report says of it; None when it is not wanted."""
        return self._standing.status(self._wanted.version) if self._wanted else None

    async def run(self) -> None:
        """Keep it so until it is not wanted any more and the broker has forgotten it."""
        try:
            await self._keep()
        finally:
            self._watch.close()

    async def _keep(self) -> None:
        while True:
            self._news.clear()
            wanted = self._due
            if wanted is None:
                if await self._forgotten():
                    return
                continue
            if wanted.spec.paused:
                self._tell(
                    WorkerStatus(
                        state=PipelineState.IDLE, reason="paused", version=wanted.version, content_id=wanted.content_id
                    )
                )
                await self._news.wait()
                continue
            began = asyncio.get_running_loop().time()
            try:
                reason = await self._one_life(wanted)
            except Exception as error:  # whatever it is, it must not end the keepers of other pipelines
                log.exception("pipeline not kept", extra={"pipeline": self._name})
                reason = f"{type(error).__name__}: {error}"
            self._look_for_hope()
            if (now := self._due) is None:
                continue
            if not reason:
                self._standing.worker_replaced()
            elif not now.spec.paused:
                await self._pause(reason, lived_s=asyncio.get_running_loop().time() - began)

    def _look_for_hope(self) -> None:
        """A replica that is to go, and can answer nothing, goes without."""
        told = self._standing.told
        if self._wanted is None and self._due is not None and told.state is PipelineState.FAILED:
            log.warning(
                "a replica goes, and what the broker holds for it is lost: it cannot be answered",
                extra={"pipeline": self._name, "reason": told.reason},
            )
            self._has_left = True

    async def _one_life(self, wanted: ReadyPipeline) -> str:
        """From a worker's start to its end; returns why it ended, and nothing if it was asked to."""
        self._tell(WorkerStatus(state=PipelineState.STARTING, reason="its worker starts"))
        stale, replaced = self._sessions.left_over(self._name, wanted.filters)
        order = Connect(
            broker=self._broker,
            client_id=self._client_id,
            stale_filters=tuple(sorted(stale)),
            replaced_filters=tuple(sorted(replaced)),
            mark_fd=self._watch.fd if self._watch.careful else None,
            deadly=self._watch.deadly,
            state=self._states and self._states.of(self._name),
        )
        self._watch.began()
        async with worker_process(self._name, self._watch.fd) as worker, asyncio.TaskGroup() as tasks:
            await worker.send(order)
            following = tasks.create_task(self._follow(worker, wanted.packages), name=f"orders for {self._name}")
            watching = tasks.create_task(self._watch_memory(worker), name=f"memory of {self._name}")
            self._worker = worker
            try:
                async for answer in worker.answers():
                    self._hear(answer)
            finally:
                self._worker = None
                following.cancel()
                watching.cancel()
            asked = worker.ending
            reason = await worker.end()
            return "" if asked else reason

    async def _watch_memory(self, worker: WorkerProcess) -> None:
        await worker.kill(await too_large(worker.pid, self._memory_mb))

    def _memory_mb(self) -> int | None:
        return self._due.spec.memory_mb if self._due else None

    @property
    def _due(self) -> ReadyPipeline | None:
        """What a worker should run: what is wanted, or what is owed to the other replicas before this one goes."""
        is_replica = any(is_shared(topic_filter) for topic_filter in self._sessions.filters(self._name))
        return self._wanted or (self._farewell if is_replica and not self._has_left else None)

    def _hear(self, answer: Answer) -> None:
        if isinstance(answer, WorkerStatus):
            self._tell(answer)
            self._note_session(answer)
        elif isinstance(answer, Left):
            self._has_left = self._wanted is None
            self._news.set()
        elif (asked := self._asked.get(answer.ask)) and not asked.done():
            asked.set_result(answer.outcomes)

    async def _follow(self, worker: WorkerProcess, packages: tuple[Path, ...]) -> None:
        """Tell the worker what is wanted, whenever that changes; a process that has imported packages keeps to them.

        One that leaves the other replicas has left: if it is wanted again, another one is started.
        """
        leaving = False
        while (due := self._due) is not None and due.packages == packages and not due.spec.paused:
            if leaving and self._wanted is not None:
                break
            self._sessions.remember(self._name, self._sessions.filters(self._name) | due.filters)
            await worker.send(due.as_order())
            if leaving := self._wanted is None:
                log.info("a replica goes when it has answered what it was given", extra={"pipeline": self._name})
                await worker.send(Leave())
            await self._news.wait()
            self._news.clear()
        await worker.end()

    def _note_session(self, status: WorkerStatus) -> None:
        wanted = self._wanted
        if wanted is None or status.state is not PipelineState.LISTENING:
            return
        if (status.version, status.content_id) == (wanted.version, wanted.content_id):
            self._sessions.remember(self._name, wanted.filters)  # what was listened to before is unsubscribed from

    async def _pause(self, reason: str, *, lived_s: float) -> None:
        """Wait before the next start: longer after each early end, not at all when something else is wanted."""
        self._watch.ended(lived_s)
        reason = self._standing.worker_ended(reason)
        log.warning("pipeline worker ended", extra={"pipeline": self._name, "reason": reason})
        self._on_change()
        pause_s = FIRST_PAUSE_S if lived_s > SOUND_S else self._pause_s
        self._pause_s = min(pause_s * 2, LAST_PAUSE_S)
        if await self._something_new_within(random.uniform(pause_s / 2, pause_s)):
            self._pause_s = FIRST_PAUSE_S

    async def _forgotten(self) -> bool:
        """Have the broker forget the session; False when it could not be reached or the pipeline is wanted again."""
        try:
            async with asyncio.timeout(FORGET_S), connect(self._broker, self._client_id, clean_session=True):
                pass
        except (TidemillError, TimeoutError) as error:
            reason = str(error) or "it did not answer in time"
            log.warning("the broker still keeps a session", extra={"pipeline": self._name, "reason": reason})
            await self._something_new_within(LAST_PAUSE_S)
            return False
        if self._states is not None and self._wanted is None:
            self._states.leave(self._name)
        self._sessions.forget(self._name)
        return self._wanted is None

    async def _something_new_within(self, pause_s: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                return await self._news.wait()
        return False

    def _tell(self, status: WorkerStatus) -> None:
        if self._standing.tell(status):
            self._on_change()
