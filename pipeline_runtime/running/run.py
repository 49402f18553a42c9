"""Takes one message through a pipeline: a straight loop over the nodes, and a task only where one really waits.

start ─▶ advance ─▶ … a node waits … ─▶ advance ─▶ all published ─▶ ended
            └ a node fails ─▶ asked again, or: nothing more is waited for ─▶ ended, with the failure
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from functools import partial
from time import perf_counter_ns
from typing import Protocol

from pipeline_runtime.broker import Broker, Message, Publication
from pipeline_runtime.node_type import SKIPPED
from pipeline_runtime.running.beginning import begun
from pipeline_runtime.running.crash_guard import CrashGuard
from pipeline_runtime.running.delivery import deliver
from pipeline_runtime.running.lane import Lane, LaneStep
from pipeline_runtime.running.turns import Order
from schemas.errors import TidemillError

_ALL = 1_000_000  # a position behind every node
_LONGEST_BACKOFF_S = 60.0
_PLAIN = frozenset({dict, list, str, float, int, bool, type(None), type(SKIPPED), bytes})  # nothing to wait for


class NodeFailed(Exception):
    """A message could not pass a node: the run ends, and the message becomes a dead letter."""

    def __init__(self, node: str, cause: BaseException) -> None:
        self.node = node
        reason = str(cause) if isinstance(cause, TidemillError) else f"{type(cause).__name__}: {cause}"
        self.reason = reason.encode(errors="replace").decode()  # else its dead letter could not be written
        super().__init__(f"{node}: {self.reason}")


class Host(Protocol):
    """Who begins runs."""

    broker: Broker
    guard: CrashGuard

    def ended(self, run: "Run", /) -> None:
        """The run has ended: everything is published, or ``run.failure`` says why not."""


class Pending:
    """Stands where a result is still to come."""


PENDING = Pending()


class Run:
    """One message's way through a lane. Every node runs once, and its result is kept for those behind it."""

    __slots__ = (
        "_attempts", "_expected", "_host", "_key", "_number", "_order", "_over", "_settled", "_todo", "_unsent",
        "_waiting", "began_ns", "durations_ns", "failure", "lane", "message", "results", "values",
    )  # fmt: skip

    def __init__(self, message: Message, lane: Lane, host: Host) -> None:
        self.message = message
        self.lane = lane
        self.values: Mapping[str, str] = {}  # the named levels of the message's topic
        self.results: list[object] = [PENDING] * (len(lane.steps) + 1)  # by position
        self.durations_ns = [0] * (len(lane.steps) + 1)  # while a node is waited for: when that began
        self.failure: NodeFailed | None = None
        self.began_ns = 0
        self._host = host
        self._todo: Sequence[LaneStep] = lane.steps
        self._waiting: dict[int, asyncio.Future[object] | asyncio.TimerHandle] = {}  # by position
        self._attempts: dict[int, int] = {}  # by position
        self._expected: list[asyncio.Future[Message]] = []
        self._unsent = 0
        self._settled: tuple[Callable[[], None], ...] = ()
        self._over = False
        self._key: Hashable = None
        self._order: Order
        self._number: int

    def start(self) -> None:
        """Read the message. Runs of one lane are started in the order in which their messages came."""
        lane, root = self.lane, self.lane.root
        began_ns = self.began_ns = perf_counter_ns()
        try:
            self._host.guard.enter(self.message)
            self.results[0] = root.read(self.message)
            self.values = root.levels(self.message.topic)
            self._key = root.key(self.results[0], self.values)
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs this message and not the worker
            self.failure = NodeFailed(lane.root_id, error)
            self._todo = ()
            lane.root_statistics.failed += 1
        else:
            duration_ns = self.durations_ns[0] = perf_counter_ns() - began_ns
            lane.root_statistics.took(duration_ns)
        self._order = lane.orders.of(self._key)
        self._number = self._order.begin()

    def advance(self, until: int = _ALL) -> None:
        """Resolve what can be resolved without waiting, of the nodes before that position."""
        results, todo = self.results, self._todo
        later: list[LaneStep] = []
        now_ns = perf_counter_ns()
        for index, step in enumerate(todo):
            if step.position >= until:
                self._todo = [*later, *todo[index:]]
                return
            if (self._waiting or later) and _is_pending(results, step.parents):
                later.append(step)
                continue
            if (value := step.value(results)) is SKIPPED:
                results[step.position] = SKIPPED
                step.statistics.skipped += 1
                continue
            try:
                result = step.resolve(value, self)
            except Exception as error:  # noqa: BLE001 - a library may raise anything; it costs this message, not the worker
                result = error
            began_ns, now_ns = now_ns, perf_counter_ns()
            if type(result) in _PLAIN:
                self._keep(step, result, now_ns - began_ns)
            else:
                self.accept(step, result, began_ns)
                now_ns = perf_counter_ns()
            if self.failure:
                return
        self._todo = later
        if until == _ALL and not later:
            self._end_if_done()

    def take(self, step: LaneStep) -> object:
        """The input of a step that is to be resolved together with other runs'; SKIPPED when it is not to be."""
        results = self.results
        if step not in self._todo or _is_pending(results, step.parents):
            return SKIPPED
        value = step.value(results)
        if value is not SKIPPED:
            self._todo = [other for other in self._todo if other is not step]
        return value

    def accept(self, step: LaneStep, result: object, began_ns: int) -> None:
        """Keep what a node gave: a result, an exception, or something to wait for."""
        if type(result) not in _PLAIN:
            if isinstance(result, Exception):
                self._try_again_or_fail(step, result)
                return
            if isinstance(result, Awaitable):
                future = begun(result)
                if future.done():
                    self._settle(step, future, began_ns)
                    return
                self.durations_ns[step.position] = began_ns
                self._waiting[step.position] = future
                future.add_done_callback(partial(self._came, step))
                return
        self._keep(step, result, perf_counter_ns() - began_ns)

    def _keep(self, step: LaneStep, result: object, duration_ns: int) -> None:
        self.results[step.position] = result
        self.durations_ns[step.position] = duration_ns
        step.statistics.took(duration_ns)

    def _came(self, step: LaneStep, future: "asyncio.Future[object]") -> None:
        """What a node waited for is there."""
        del self._waiting[step.position]
        if self.failure is None and not self._over:
            self._settle(step, future, self.durations_ns[step.position])
            if self.failure is None:
                self.advance()
            return
        if not future.cancelled():
            future.exception()  # seen
        self._end_if_done()

    def _settle(self, step: LaneStep, future: "asyncio.Future[object]", began_ns: int) -> None:
        """Keep what a future holds that is done."""
        if future.cancelled():
            self._try_again_or_fail(step, asyncio.CancelledError("what it waited for was cancelled"))
        elif (error := future.exception()) is not None:
            self._try_again_or_fail(step, error)
        else:
            self._keep(step, future.result(), perf_counter_ns() - began_ns)

    def _try_again_or_fail(self, step: LaneStep, error: BaseException) -> None:
        tried, policy = self._attempts.get(step.position, 0), step.on_error
        step.statistics.failed += 1
        if tried >= policy.retry:
            self._fail(NodeFailed(step.id, error))
            return
        self._attempts[step.position] = tried + 1
        pause_s = min(policy.backoff * 2**tried, _LONGEST_BACKOFF_S)
        self._waiting[step.position] = asyncio.get_running_loop().call_later(pause_s, self._again, step)

    def _again(self, step: LaneStep) -> None:
        del self._waiting[step.position]
        self._todo = sorted([step, *self._todo], key=lambda one: one.position)
        self.advance()

    def _fail(self, failure: NodeFailed) -> None:
        if self.failure is None:
            self.failure = failure
        self._todo = ()
        self._let_go()
        self._end_if_done()

    def abort(self) -> None:
        """Give the message up without a word: the broker sends it again."""
        self._over = True
        self._todo = ()
        self._let_go()

    def _let_go(self) -> None:
        """Wait for nothing any more."""
        for place, what in list(self._waiting.items()):
            what.cancel()
            if isinstance(what, asyncio.TimerHandle):
                del self._waiting[place]
        for expected in self._expected:
            expected.cancel()

    def _end_if_done(self) -> None:
        if self._over or self._todo or self._waiting or self._unsent:
            return
        self._over = True
        for expected in self._expected:
            expected.cancel()
        self._host.guard.leave()
        self.lane.orders.end(self._key, self._number)
        self._host.ended(self)

    def send(self, node: str, publication: Publication) -> None:
        """Publish in the background; the run ends when the broker has it. Raises TooLarge."""
        self._unsent += 1
        try:
            deliver(self._host.broker, publication, partial(self._sent, node))
        except TidemillError:
            self._unsent -= 1
            raise
        finally:
            self._order.at(node).leave(self._number)

    def _sent(self, node: str, error: TidemillError | None) -> None:
        self._unsent -= 1
        if error is not None and not self._over:
            self._fail(NodeFailed(node, error))
        else:
            self._end_if_done()

    def when_settled(self, call: Callable[[], None]) -> None:
        """Call it when the message is acknowledged: all that came of it is published, or its dead letter is."""
        self._settled += (call,)

    def settle(self) -> None:
        """Acknowledge the message, and tell those who asked."""
        self.message.ack()
        for call in self._settled:
            call()

    def is_first_at(self, node: str) -> bool:
        """Whether the answers to all earlier messages have left this node."""
        return self._order.at(node).is_first(self._number)

    async def turn_at(self, node: str) -> None:
        """Return when the answers to all earlier messages have left this node."""
        await self._order.at(node).wait(self._number)

    def next_message(self, node: str, correlation: Hashable = None) -> "asyncio.Future[Message]":
        """The next message of a mqtt_sub in the middle, or the next with that correlation; it counts from now on."""
        coming = self.lane.inboxes[node].next_message(correlation)
        self._expected.append(coming)
        return coming


def _is_pending(results: Sequence[object], places: Sequence[int]) -> bool:
    for place in places:  # noqa: SIM110 - `any` of a generator takes twice as long
        if results[place] is PENDING:
            return True
    return False
