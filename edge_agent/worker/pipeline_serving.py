"""Serves one pipeline over one MQTT connection, as its orders say; in a worker or in a person's command.

Connect ─▶ Load ─▶ Load … ─▶ (Leave ─▶) Stop, or the orders end
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

from edge_agent.worker.importing import make_importable
from edge_agent.worker.link_broker import LinkBroker
from edge_agent.worker.serving_words import shadowed, since_swap, too_large
from edge_agent.worker.worker_protocol import (
    SOUND_S,
    Answer,
    Connect,
    Leave,
    Left,
    Load,
    Order,
    Show,
    Shown,
    Stop,
    WorkerStatus,
)
from pipeline_runtime.compiling.graph import compile as compile_graph
from pipeline_runtime.installed import node_types
from pipeline_runtime.running.crash_guard import CrashGuard
from pipeline_runtime.running.engine import Engine
from pipeline_runtime.running.loading import load
from schemas.errors import TidemillError, Unreachable
from schemas.report import PipelineState
from transport.memory import settle_memory
from transport.mqtt import Link, connect

log = logging.getLogger(__name__)

KEEPALIVE_S = 120  # a library that holds up the event loop holds up the connection too
DRAIN_S = 2.5  # for what is in flight at the end; an agent that is stopped must be gone in five seconds
LOOK_S = 0.5  # how often the status is looked at
LIFE_S = 5.0  # how often it is told though nothing has changed

Tell = Callable[[Answer], None]


async def serve(orders: AsyncIterator[Order], tell: Tell) -> None:
    """Follow the orders until they end, then end what is in flight.

    Raises:
        BadInput: the first pipeline cannot be loaded. One that comes later is refused, and the one before goes on.
        Unauthorized: the broker refuses a topic that the pipeline listens to.
    """
    first = await anext(orders, None)
    if not isinstance(first, Connect):
        return
    settle_memory()
    failure: Exception | None = None
    try:
        await _serve(first, orders, tell)
    except* TidemillError as errors:
        failure = errors.exceptions[0]
    if failure is not None:
        raise failure


async def _serve(first: Connect, orders: AsyncIterator[Order], tell: Tell) -> None:
    clean = not first.keep_session
    async with (
        connect(
            first.broker, first.client_id, clean_session=clean, keepalive_s=KEEPALIVE_S, wait=False, in_loop=True
        ) as link,
        asyncio.TaskGroup() as tasks,
    ):
        for topic_filter in first.stale_filters:
            tasks.create_task(link.unsubscribe(topic_filter), name="leave a stale topic")
        for topic_filter in first.replaced_filters:
            link.cease(topic_filter)
        guard = CrashGuard(first.mark_fd, frozenset(first.deadly))
        refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        engine = Engine(
            LinkBroker(link, first.broker, partial(_fail, refused)), guard=guard, cautious=first.mark_fd is not None
        )
        serving = _Serving(link, engine, tell, first.state)
        asyncio.get_running_loop().call_later(SOUND_S, engine.be_bold)
        helpers = [
            tasks.create_task(serving.load_newest(), name="load"),
            tasks.create_task(serving.show_life(), name="show life"),
            tasks.create_task(_raise(refused), name="end when the broker refuses"),
        ]
        async for order in orders:
            if isinstance(order, Stop):
                break
            if isinstance(order, Load):
                serving.want(order)
            elif isinstance(order, Leave):
                serving.leave()
            elif isinstance(order, Show):
                tell(Shown(ask=order.ask, outcomes=engine.outcomes.newest(order.count)))
        for helper in helpers:
            helper.cancel()
        await serving.drain()


def _fail(refused: "asyncio.Future[None]", error: TidemillError) -> None:
    if not refused.done():
        refused.set_exception(error)


async def _raise(refused: "asyncio.Future[None]") -> None:
    await refused


class _Serving:
    """What is wanted, what is served, and how to say so."""

    def __init__(self, link: Link, engine: Engine, tell: Tell, state: Path | None) -> None:
        self._link, self._engine, self._tell, self._state = link, engine, tell, state
        self._wanted: Load | None = None
        self._served: Load | None = None
        self._leaving = False
        self._news = asyncio.Event()
        self._trouble = ""  # why what is wanted is not what is served
        self._unloadable = ""  # its content_id, if it will never be

    def want(self, order: Load) -> None:
        """Load this next; one that is waiting is passed over."""
        self._wanted = order
        self._news.set()

    def leave(self) -> None:
        """Once what is wanted is loaded, have the broker give no more to this one, and say when all is answered."""
        self._leaving = True
        self._news.set()

    async def load_newest(self) -> None:
        """Load whatever is wanted, again and again."""
        while True:
            await self._news.wait()
            self._news.clear()
            if self._wanted is None:
                continue
            if self._wanted.is_named_otherwise(self._served):
                self._served = self._wanted
                self._trouble = self._unloadable = ""  # of a version that is no longer wanted
                self._tell(self.status())
            else:
                await self._load(self._wanted)
            if self._leaving and self._served is not None:
                await self._engine.leave_groups()
                self._tell(Left())

    async def _load(self, order: Load) -> None:
        try:
            make_importable(order.packages)
            spec, models, shadows = shadowed(order)
            stale = self._served is not None and order.has_other_files_than(self._served)
            loaded = await asyncio.to_thread(
                load,
                compile_graph(spec, node_types()),
                order.version,
                models=models,
                libraries=order.libraries,
                before=None if stale else self._engine.loaded,
                state=self._state,
                emit=self._engine.emit,
                optional=shadows,
            )
            await self._engine.swap(loaded)
        except Unreachable as error:  # the link connects again by itself; the subscriptions are ours to try again
            self._trouble = str(error)
            self._news.set()
        except TidemillError as error:
            self._trouble, self._unloadable = f"version {order.version}: {error}", order.content_id
            if self._served is None:
                self._tell(self.status().model_copy(update={"state": PipelineState.FAILED}))
                raise
            log.warning("pipeline not swapped", extra={"version": order.version, "reason": str(error)})
        else:
            self._served, self._trouble, self._unloadable = order, "", ""
            log.info("pipeline loaded", extra={"version": order.version})
        self._tell(self.status())

    def status(self) -> WorkerStatus:
        """How it does now."""
        counters, served, loaded = self._engine.counters, self._served, self._engine.loaded
        disconnected = "" if self._link.connected else str(self._link.trouble or "connecting to the broker")
        trouble = self._engine.stopped or self._trouble or disconnected
        if served is None:
            state = PipelineState.STARTING
        elif self._engine.stopped:
            state = PipelineState.FAILED
        else:
            state = PipelineState.DEGRADED if trouble else PipelineState.LISTENING
        failures = [f"last failed message: {counters.last_failure}"] if counters.last_failure else []
        left_out = [f"shadow left out: {reason}" for reason in loaded.left_out.values()] if loaded else []
        return WorkerStatus(
            state=state,
            reason=trouble or "; ".join([*failures, *too_large(self._link.too_large), *left_out]),
            failed_at=counters.failed_at,
            version=served.version if served else 0,
            content_id=served.content_id if served else "",
            unloadable=self._unloadable,
            since_swap=since_swap(loaded) if loaded and served else None,
            models={ref: model.version for ref, model in served.models.items()} if served else {},
            received=counters.received,
            answered=counters.answered,
            failed=counters.failed,
            dropped=self._engine.backlog.dropped + self._link.dropped + self._link.too_large,
            nodes=self._engine.figures(),
        )

    async def show_life(self) -> None:
        """Tell the status when it has changed, and every now and then."""
        loop = asyncio.get_running_loop()
        told, told_at = None, loop.time()
        while True:
            status = self.status()
            if status != told or loop.time() - told_at >= LIFE_S:
                self._tell(status)
                told, told_at = status, loop.time()
            await asyncio.sleep(LOOK_S)

    async def drain(self) -> None:
        """End what is in flight, and tell how it ended."""
        await self._engine.drain(DRAIN_S)
        self._tell(self.status())
