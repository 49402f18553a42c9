"""Answers messages with a pipeline, and swaps the pipeline between two of them.

    message ─▶ room for one more run ─▶ Run ─▶ published ──────▶ acknowledged
                                          └──▶ dead letter ──┘

Roots are subscribed to with the QoS that the node names. A mqtt_sub in the middle always has QoS 0: at QoS 1 the
broker's window of unacknowledged messages would be full of runs that wait for a message which cannot pass it.
"""

import asyncio
import logging
from dataclasses import dataclass

from pipeline_runtime.broker import Broker, Message
from pipeline_runtime.crash_guard import CrashGuard
from pipeline_runtime.dead_letters import dead_letter
from pipeline_runtime.delivery import deliver
from pipeline_runtime.inbox import Inbox
from pipeline_runtime.lane import Lane
from pipeline_runtime.listening import Listening
from pipeline_runtime.loading import Loaded
from pipeline_runtime.run import NodeFailed, Run
from pipeline_runtime.turns import Order
from schemas.errors import TidemillError

log = logging.getLogger(__name__)

MAX_IN_FLIGHT = 64  # runs that wait for something; brokers send about 20 unacknowledged messages


@dataclass(slots=True)
class Counters:
    """What an engine has done so far."""

    received: int = 0
    answered: int = 0
    failed: int = 0
    last_failure: str = ""  # node and reason


class Engine:
    """Runs one pipeline. Its tasks belong to the group it is given.

    A cautious engine has one message in hand at a time, and the guard told of it, until ``be_bold`` is called.
    """

    def __init__(
        self, broker: Broker, tasks: asyncio.TaskGroup, *, guard: CrashGuard | None = None, cautious: bool = False
    ) -> None:
        self.loaded: Loaded | None = None
        self.counters = Counters()
        self._broker = broker
        self._tasks = tasks
        self._guard = guard or CrashGuard()
        self._cautious = cautious
        self._room = asyncio.Semaphore(1 if cautious else MAX_IN_FLIGHT)
        self._lanes: dict[str, Lane] = {}  # by the root's topic filter, like the next two
        self._orders: dict[str, Order] = {}
        self._inboxes: dict[str, Inbox] = {}
        self._listening = Listening(broker, tasks, self._take)
        self._runs: set[asyncio.Task[None]] = set()

    async def swap(self, loaded: Loaded) -> None:
        """Answer with this pipeline from the next message on; runs in flight end with the one they began with.

        A topic that both pipelines listen to loses no message. On an error the pipeline from before goes on.

        Raises:
            TidemillError: the broker refused a topic, or did not answer.
        """
        await self._listening.change(loaded.plan.subscriptions, lambda: self._switch(loaded))

    def be_bold(self) -> None:
        """Take many messages in hand again."""
        if self._cautious:
            self._cautious = False
            self._guard.relax()
            for _ in range(MAX_IN_FLIGHT - 1):
                self._room.release()

    async def drain(self, timeout_s: float) -> None:
        """Begin no more runs, end those in flight, give up on late ones: the broker sends their messages again."""
        self._listening.stop()
        if self._runs:
            _, late = await asyncio.wait(self._runs, timeout=timeout_s)
            for run in late:
                run.cancel()

    def _switch(self, loaded: Loaded) -> None:
        """The moment between two messages; nothing is awaited here."""
        self.loaded = loaded
        self.counters.last_failure = ""  # of the pipeline before
        filters = set(loaded.plan.filters.values())  # of others, runs in flight keep hold themselves
        self._orders = {topic_filter: self._orders.get(topic_filter, Order()) for topic_filter in filters}
        self._inboxes = {topic_filter: self._inboxes.get(topic_filter, Inbox()) for topic_filter in filters}
        self._lanes = {loaded.plan.filters[root]: self._lane(loaded, root) for root in loaded.plan.roots}

    def _lane(self, loaded: Loaded, root: str) -> Lane:
        plan = loaded.plan
        steps, filters = plan.routes[root], plan.filters
        return Lane(
            root=root,
            steps=tuple(loaded.steps[step.id] for step in steps),
            order=self._orders[filters[root]],
            inboxes={step.id: self._inboxes[filters[step.id]] for step in steps if step.id in filters},
            pipeline=plan.name,
            version=loaded.version,
            dead_letters=plan.dead_letters,
        )

    async def _take(self, message: Message, topic_filter: str) -> None:
        if topic_filter in self._lanes:
            await self._begin(message, topic_filter)
            return
        if topic_filter in self._inboxes:
            self._inboxes[topic_filter].deliver(message.payload)
        message.ack()

    async def _begin(self, message: Message, topic_filter: str) -> None:
        await self._room.acquire()
        lane = self._lanes.get(topic_filter)  # not sooner: it may have been swapped meanwhile
        if lane is None:
            self._room.release()
            message.ack()  # the pipeline listens to this topic no longer
            return
        self.counters.received += 1
        task = self._tasks.create_task(self._answer(Run(message, lane, self._broker, self._guard)), name="run")
        self._runs.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._runs.discard(task)
        self._room.release()

    async def _answer(self, run: Run) -> None:
        try:
            await run.finish()
            self.counters.answered += 1
        except NodeFailed as failure:
            self.counters.failed += 1
            self.counters.last_failure = str(failure)
            log.info("message failed", extra={"node": failure.node, "reason": failure.reason})
            await self._bury(run, failure)
        run.message.ack()

    async def _bury(self, run: Run, failure: NodeFailed) -> None:
        try:
            await deliver(self._broker, dead_letter(run, failure))
        except TidemillError:  # to try again would not help, and a message that is kept would hold up all others
            log.exception("dead letter refused", extra={"topic": run.lane.dead_letters})
