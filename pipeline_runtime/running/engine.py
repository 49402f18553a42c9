"""Answers messages with a pipeline, and swaps the pipeline between two of them.

    message ─▶ backlog ─▶ room for one more run ─▶ Run ─▶ published ──────▶ acknowledged
                                                    ├──▶ dead letter ──────┘
                                                    └──▶ the pipeline stops, and keeps the message

Roots are subscribed to with the QoS that the node names. A mqtt_sub in the middle always has QoS 0: at QoS 1 the
broker's window of unacknowledged messages would be full of runs that wait for a message which cannot pass it.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import dropwhile
from time import perf_counter_ns

from pipeline_runtime.broker import Broker, Message
from pipeline_runtime.running.backlog import Backlog
from pipeline_runtime.running.crash_guard import CrashGuard
from pipeline_runtime.running.dead_letters import dead_letter
from pipeline_runtime.running.delivery import tried_again
from pipeline_runtime.running.inbox import Inbox
from pipeline_runtime.running.lane import Lane
from pipeline_runtime.running.lanes import emission, emitted_by, lanes_of
from pipeline_runtime.running.listening import Listening
from pipeline_runtime.running.loaded import Loaded
from pipeline_runtime.running.outcomes import Outcomes
from pipeline_runtime.running.run import Run
from pipeline_runtime.running.statistics import Counters, NodeStatistics
from pipeline_runtime.running.together import walk_together
from pipeline_runtime.running.turns import Orders
from schemas.errors import TidemillError
from schemas.pipelines import NodeFigures

log = logging.getLogger(__name__)


class Engine:
    """Runs one pipeline, on one event loop.

    A cautious engine has one message in hand at a time, and the guard told of it, until ``be_bold`` is called.
    """

    def __init__(self, broker: Broker, *, guard: CrashGuard | None = None, cautious: bool = False) -> None:
        self.loaded: Loaded | None = None
        self.counters = Counters()
        self.statistics: dict[str, NodeStatistics] = {}  # by the node's id
        self.outcomes = Outcomes()
        self.backlog = Backlog(self._room)
        self.stopped = ""  # why the pipeline has stopped itself
        self.broker = broker
        self.guard = guard or CrashGuard()
        self._cautious = cautious
        self._lanes: Mapping[str, Lane] = {}  # by the root's topic filter, like the next two
        self._orders: dict[str, Orders] = {}
        self._inboxes: dict[str, Inbox] = {}
        self._listening = Listening(broker, self._take)
        self._runs: dict[Run, None] = {}  # in flight, in the order in which they began
        self._held = 0  # how many want no run to begin now
        self._pump_is_due = False
        self._none_in_flight = asyncio.Event()
        self._none_in_flight.set()
        self._closing: set[asyncio.Task[None]] = set()

    async def swap(self, loaded: Loaded) -> None:
        """Answer with this pipeline from the next message on; runs in flight end with the one they began with.

        A topic that both pipelines listen to loses no message. On an error the pipeline from before goes on.

        Raises:
            TidemillError: a node could not be opened; the broker refused a topic, or did not answer.
        """
        before = self.loaded
        if before is not None and before.shares_state_with(loaded):
            await self._hand_over(before, loaded)
        else:
            await loaded.open()  # which may take long: messages go on being answered
            await self._listen(loaded)
        if before is not None and before.runs == 0:
            await before.close()

    async def _hand_over(self, before: Loaded, loaded: Loaded) -> None:
        """Swap while nothing is in flight: what the old nodes keep on disk is the new ones' to read."""
        with self._holding():
            await self._none_in_flight.wait()
            await before.close_stateful()
            self.backlog.forget({emitted_by(node) for node in before.keeping})  # on disk, for the new nodes to emit
            try:
                await loaded.open()
                await self._listen(loaded)
            except BaseException:
                await before.open()
                raise

    async def _listen(self, loaded: Loaded) -> None:
        with self._holding():  # of a new topic messages may come before the others are granted
            try:
                await self._listening.change(loaded.plan.subscriptions)
            except BaseException:
                await loaded.close()
                raise
            self._switch(loaded)

    @contextmanager
    def _holding(self) -> Iterator[None]:
        """Begin no run while the block lasts; messages wait in the backlog."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            self._look()

    def figures(self) -> dict[str, NodeFigures]:
        """What each node did, by its id."""
        nodes = self.loaded.nodes if self.loaded else {}
        return {
            node: statistics.figures(nodes[node].node.notes())
            for node, statistics in self.statistics.items()
            if node in nodes
        }

    def be_bold(self) -> None:
        """Take many messages in hand again."""
        if self._cautious:
            self._cautious = False
            self.guard.relax()
            self._look()

    async def leave_groups(self) -> None:
        """Take part in no sharing of messages any more, once all that was given to this one is answered.

        A broker keeps for the session what it has given to one of a group, and to no other; whoever ends the session
        loses it. A pipeline that has stopped itself answers nothing, and leaves without.
        """
        await self._listening.leave_groups()
        while not self.stopped:
            if self._runs or self.backlog:
                await self._none_in_flight.wait()
                await asyncio.sleep(0)  # the next ones begin in a turn of their own
                continue
            received = self.counters.received  # all of them acknowledged, which lets the broker send more
            if await self.broker.flush() and received == self.counters.received and not self.backlog:
                return

    async def drain(self, timeout_s: float) -> None:
        """Begin no more runs, end those in flight, give up on late ones: the broker sends their messages again."""
        self._held += 1
        try:
            async with asyncio.timeout(timeout_s):
                await self._none_in_flight.wait()
        except TimeoutError:
            for run in self._runs:
                run.abort()
            self._runs.clear()
            self._none_in_flight.set()
        await asyncio.gather(*self._closing)
        if self.loaded is not None:
            await self.loaded.close()

    def emit(self, loaded: Loaded, node: str, value: object, settled: Callable[[], None] = lambda: None, /) -> bool:
        """Begin a run behind a node with a value that no message brought. A pipeline that is not in use cannot."""
        if loaded is not self.loaded:
            return False
        self._take(*emission(node, value, settled))
        return True

    def ended(self, run: Run) -> None:
        """A run has ended: acknowledge its message, or bury it."""
        self.outcomes.add(run)
        ways = run.lane.loaded.ways
        if run.failure is None:
            self.counters.answered += 1
            ways.took(perf_counter_ns() - run.began_ns)
            self._release(run)
            run.settle()
            return
        failure = run.failure
        self.counters.failed += 1
        ways.failed += 1
        self.counters.last_failure, self.counters.failed_at = str(failure), datetime.now(UTC)
        log.info("message failed", extra={"node": failure.node, "reason": failure.reason})
        if run.lane.stops_at(failure.node):
            self._stop(run)
        else:
            self._bury(run)

    def _stop(self, run: Run) -> None:
        """Keep its message and those behind it, so that the next version answers them in their order."""
        if not self.stopped and run.failure is not None:
            self.stopped = f"stopped, as its on_error says: {run.failure}"
        behind = list(dropwhile(lambda other: other is not run, self._runs))[1:]
        for kept in [*reversed([other for other in behind if other.withdraw()]), run]:
            self.backlog.put_back(kept.message, kept.lane.key)
            self._release(kept)

    def _bury(self, run: Run) -> None:
        letter = dead_letter(run)

        def told(error: TidemillError | None) -> None:
            if error is not None and tried_again(self.broker, letter, told, error):
                return
            if error is not None:  # to try again would not help, and a message that is kept would hold up all others
                log.error("dead letter refused", extra={"topic": run.lane.dead_letters, "reason": str(error)})
            self._release(run)
            run.settle()

        try:
            self.broker.publish(letter, told)
        except TidemillError as error:
            told(error)

    def _release(self, run: Run) -> None:
        self._runs.pop(run, None)
        loaded = run.lane.loaded
        loaded.runs -= 1
        if loaded.runs == 0 and loaded is not self.loaded:
            task = asyncio.get_running_loop().create_task(loaded.close(), name="close a pipeline that was swapped out")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        if not self._runs:
            self._none_in_flight.set()
        if self.backlog:
            self._look()

    def _switch(self, loaded: Loaded) -> None:
        """The moment between two messages; nothing is awaited here."""
        self.loaded = loaded
        loaded.since = datetime.now(UTC)
        self.counters.last_failure = self.stopped = ""  # of the pipeline before
        self.counters.failed_at = None
        self.backlog.follow(loaded.plan.queue)
        filters = set(loaded.plan.filters.values())  # of others, runs in flight keep hold themselves
        self._orders = {topic_filter: self._orders.get(topic_filter, Orders()) for topic_filter in filters}
        for orders in self._orders.values():
            orders.forget_nodes()
        self._inboxes = {topic_filter: self._inboxes.get(topic_filter, Inbox()) for topic_filter in filters}
        ids = [step.id for step in loaded.plan.steps]
        self.statistics = {node: self.statistics.get(node, NodeStatistics()) for node in ids}
        self._lanes = lanes_of(loaded, self._orders, self._inboxes, self.statistics)

    def _take(self, key: str, message: Message) -> None:
        """A message came."""
        inbox = self._inboxes.get(key) if key not in self._lanes else None
        if inbox is not None:
            inbox.deliver(message)
            return
        self.backlog.add(message, key)
        self._look()

    def _look(self) -> None:
        """Begin runs in the next turn of the loop: what comes in one piece is begun together."""
        if not self._pump_is_due and not self._held:
            self._pump_is_due = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._pump_is_due = False
        while self.backlog and not self._held and not self.stopped and (room := self._room()) > 0:
            key, messages = self.backlog.take(room)
            lane = self._lanes.get(key)
            if lane is not None:
                walk_together(lane, self._begin(lane, messages))
                continue
            for message in messages:
                self._pass_on(message, key)

    def _room(self) -> int:
        """How many runs may begin now."""
        most = 1 if self._cautious or self.loaded is None else self.loaded.plan.queue.in_flight
        return most - len(self._runs)

    def _begin(self, lane: Lane, messages: Sequence[Message]) -> list[Run]:
        self.counters.received += len(messages)
        runs = [Run(message, lane, self) for message in messages]
        lane.loaded.runs += len(runs)
        self._runs.update(dict.fromkeys(runs))
        self._none_in_flight.clear()
        return runs

    def _pass_on(self, message: Message, key: str) -> None:
        """It came for a mqtt_sub in the middle before that was there, or the pipeline listens to it no longer."""
        if key in self._inboxes:
            self._inboxes[key].deliver(message)
        else:
            message.ack()
