"""Takes one message through a pipeline: a straight loop over the nodes, and a task only where one really waits.

read ─▶ walk ─▶ … a node waits … ─▶ walk ─▶ all published ─▶ ended
           └ a node fails ─▶ asked again, or: nothing more is waited for ─▶ ended, with the failure
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from functools import partial
from time import perf_counter_ns
from types import MappingProxyType
from typing import Protocol

from pipeline_runtime.broker import Broker, Message, Publication
from pipeline_runtime.node_type import SKIPPED
from pipeline_runtime.running.beginning import begun
from pipeline_runtime.running.crash_guard import CrashGuard
from pipeline_runtime.running.delivery import tried_again
from pipeline_runtime.running.lane import PENDING, Lane, LaneStep
from schemas.errors import TidemillError

_LONGEST_BACKOFF_S = 60.0
_PLAIN = frozenset({dict, list, str, float, int, bool, type(None), type(SKIPPED), bytes})  # nothing to wait for


class NodeFailed(Exception):
    """A message could not pass a node: the run ends, and the message becomes a dead letter."""

    def __init__(self, node: str, cause: BaseException) -> None:
        self.node = node
        if isinstance(cause, asyncio.CancelledError):
            reason = "what it waited for was cancelled"
        else:
            reason = str(cause) if isinstance(cause, TidemillError) else f"{type(cause).__name__}: {cause}"
        self.reason = reason.encode(errors="replace").decode()  # else its dead letter could not be written
        super().__init__(f"{node}: {self.reason}")


class Host(Protocol):
    """Who begins runs."""

    broker: Broker
    guard: CrashGuard

    def ended(self, run: "Run", /) -> None:
        """The run has ended: everything is published, or ``run.failure`` says why not."""


class Run:
    """One message's way through a lane. Every node runs once, and its result is kept for those behind it."""

    # Few runs have their own of these: to set them for each would take a quarter of what it takes to make a run.
    failure: NodeFailed | None = None
    values: Mapping[str, str] = MappingProxyType({})  # the named levels of the message's topic
    _key: Hashable = None
    _todo: tuple[LaneStep, ...] = ()  # those walked by that wait for others
    _is_walked = False  # every step was walked by once
    _attempts: Mapping[int, int] = MappingProxyType({})  # by position
    _expected: tuple[asyncio.Future[Message], ...] = ()
    _settled: tuple[Callable[[], None], ...] = ()
    _unsent = 0
    over = False  # it has ended, or was given up

    def __init__(self, message: Message, lane: Lane, host: Host) -> None:
        """Read the message. Runs of one lane are begun in the order in which their messages came."""
        self.message, self.lane, self._host = message, lane, host
        self.results: list[object] = [PENDING] * (len(lane.steps) + 1)  # by position
        self.durations_ns = [0] * (len(lane.steps) + 1)  # while a node is waited for: when that began
        self._waiting: dict[int, asyncio.Future[object] | asyncio.TimerHandle] = {}  # by position
        root = lane.root
        self.began_ns = perf_counter_ns()
        try:
            if host.guard.watches:
                host.guard.enter(message)
            self.results[0] = value = root.read(message)
            self.values = root.levels(message.topic)
            self._key = root.key(value, self.values)
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs this message and not the worker
            self.failure = NodeFailed(lane.root_id, error)
            lane.root_statistics.failed += 1
        else:
            duration_ns = self.durations_ns[0] = perf_counter_ns() - self.began_ns
            lane.root_statistics.took(duration_ns)
        self._order, self._number = lane.orders.begin(self._key)

    def walk(self, steps: Sequence[LaneStep]) -> None:
        """Resolve what can be of these without waiting, each after those it needs. Not for a run that has failed."""
        results, durations_ns = self.results, self.durations_ns
        now_ns = perf_counter_ns()
        for step in steps:
            value = step.value(results)
            if value is SKIPPED or value is PENDING:
                self._pass_by(step, value)
                continue
            try:
                result = step.resolve(value, self)
            except Exception as error:  # noqa: BLE001 - a library may raise anything; it costs this message, not the worker
                result = error
            began_ns, now_ns = now_ns, perf_counter_ns()
            if type(result) in _PLAIN:
                results[step.position] = result
                durations_ns[step.position] = duration_ns = now_ns - began_ns
                step.statistics.took(duration_ns)
            else:
                self.accept(step, result, began_ns)
                if self.failure is not None:
                    return
                now_ns = perf_counter_ns()

    def take(self, step: LaneStep) -> object:
        """The input of a step that is to be resolved together with other runs'; SKIPPED when it is not to be now."""
        if self.failure is not None or self.over:
            return SKIPPED
        value = step.value(self.results)
        if value is SKIPPED or value is PENDING:
            self._pass_by(step, value)
            return SKIPPED
        return value

    def _pass_by(self, step: LaneStep, value: object) -> None:
        """It is not to run for this message, or not yet."""
        if value is PENDING:
            self._todo = (*self._todo, step)
        else:
            self.results[step.position] = SKIPPED
            step.statistics.skipped += 1

    def walked(self) -> None:
        """Every step was walked by: the run ends when nothing is waited for any more."""
        self._is_walked = True
        self._end_if_done()

    def accept(self, step: LaneStep, result: object, began_ns: int) -> None:
        """Keep what a node gave: a result, an exception, or something to wait for."""
        if isinstance(result, Exception):
            self._try_again_or_fail(step, result)
            return
        if type(result) not in _PLAIN and isinstance(result, Awaitable):
            try:
                outcome = begun(result)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - as in `walk`
                self._try_again_or_fail(step, error)
                return
            if not isinstance(outcome, tuple):
                self.durations_ns[step.position] = began_ns
                self._waiting[step.position] = outcome
                outcome.add_done_callback(partial(self._came, step))
                return
            (result,) = outcome
        self._keep(step, result, perf_counter_ns() - began_ns)

    def _keep(self, step: LaneStep, result: object, duration_ns: int) -> None:
        self.results[step.position] = result
        self.durations_ns[step.position] = duration_ns
        step.statistics.took(duration_ns)

    def _go_on(self) -> None:
        """Walk by what waited for others."""
        steps, self._todo = self._todo, ()
        self.walk(steps)
        self._end_if_done()

    def _came(self, step: LaneStep, future: "asyncio.Future[object]") -> None:
        """What a node waited for is there."""
        del self._waiting[step.position]
        if self.failure is None and not self.over:
            self._settle(step, future, self.durations_ns[step.position])
            if self.failure is None:
                self._go_on()
            return
        if not future.cancelled():
            future.exception()  # seen
        self._end_if_done()

    def _settle(self, step: LaneStep, future: "asyncio.Future[object]", began_ns: int) -> None:
        """Keep what a future holds that is done."""
        if future.cancelled():
            self._try_again_or_fail(step, asyncio.CancelledError())
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
        self._attempts = {**self._attempts, step.position: tried + 1}
        pause_s = min(policy.backoff * 2**tried, _LONGEST_BACKOFF_S)
        self._waiting[step.position] = asyncio.get_running_loop().call_later(pause_s, self._again, step)

    def _again(self, step: LaneStep) -> None:
        del self._waiting[step.position]
        self._todo = tuple(sorted((step, *self._todo), key=lambda one: one.position))
        self._go_on()

    def _fail(self, failure: NodeFailed) -> None:
        if self.failure is None:
            self.failure = failure
        self._todo = ()
        self._let_go()
        self._end_if_done()

    def abort(self) -> None:
        """Give the message up without a word: the broker sends it again."""
        self.over = True
        self._todo = ()
        self._let_go()

    def withdraw(self) -> bool:
        """Give it up for now, as if it had never begun; False if something of it is on its way already."""
        if self._unsent:
            return False
        self.abort()
        self._leave_order()
        return True

    def _let_go(self) -> None:
        """Wait for nothing any more."""
        for place, what in list(self._waiting.items()):
            what.cancel()
            if isinstance(what, asyncio.TimerHandle):
                del self._waiting[place]
        for expected in self._expected:
            expected.cancel()

    def _end_if_done(self) -> None:
        if self._unsent or self._waiting or self._todo or self.over or not self._is_walked:
            return
        self.over = True
        for expected in self._expected:
            expected.cancel()
        if self._host.guard.watches:
            self._host.guard.leave()
        self._leave_order()
        self._host.ended(self)

    def _leave_order(self) -> None:
        if self._order.end(self._number) and self._key is not None:
            self.lane.orders.forget(self._key)

    def send(self, node: str, publication: Publication, *, in_turn: bool = False) -> bool:
        """Publish in the background; the run ends when the broker has it. Raises TooLarge.

        Returns:
            Whether it was done: in turn it is not, while the answer to an earlier message has still to leave this node.
        """
        if in_turn and not self._order.at(node).passes(self._number):
            return False
        self._unsent += 1
        try:
            self._host.broker.publish(publication, partial(self._told, node, publication))
        except Exception:
            self._unsent -= 1
            raise
        return True

    def _told(self, node: str, publication: Publication, error: TidemillError | None) -> None:
        """Whether the broker has a publication."""
        if error is not None and tried_again(
            self._host.broker, publication, partial(self._told, node, publication), error
        ):
            return
        self._unsent -= 1
        if error is not None and not self.over:
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

    async def turn_at(self, node: str) -> None:
        """Return when the answers to all earlier messages have left this node."""
        await self._order.at(node).wait(self._number)

    def next_message(self, node: str, correlation: Hashable = None) -> "asyncio.Future[Message]":
        """The next message of a mqtt_sub in the middle, or the next with that correlation; it counts from now on."""
        coming = self.lane.inboxes[node].next_message(correlation)
        self._expected += (coming,)
        return coming
