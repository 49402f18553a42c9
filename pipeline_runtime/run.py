"""Takes one message through a pipeline: a straight loop over the nodes, and tasks only where one really waits."""

import asyncio
from collections.abc import Awaitable, Sequence

from pipeline_runtime.broker import Broker, Message, Publication
from pipeline_runtime.crash_guard import CrashGuard
from pipeline_runtime.delivery import deliver
from pipeline_runtime.lane import Lane, LiveStep
from pipeline_runtime.node_type import SKIPPED, Branches
from pipeline_runtime.payloads import decode
from pipeline_runtime.plan import Source
from schemas.errors import BadPayload, TidemillError


class NodeFailed(Exception):
    """A message could not pass a node: the run ends, and the message becomes a dead letter."""

    def __init__(self, node: str, cause: BaseException) -> None:
        self.node = node
        self.reason = str(cause) if isinstance(cause, TidemillError) else f"{type(cause).__name__}: {cause}"
        super().__init__(f"{node}: {self.reason}")


class Run:
    """One message's way through a lane. Every node runs once, and its result is kept for those behind it."""

    def __init__(self, message: Message, lane: Lane, broker: Broker, guard: CrashGuard | None = None) -> None:
        self.message = message
        self.lane = lane
        self.results: dict[str, object] = {}
        self.values: dict[str, str] = {}  # the named levels of the message's topic
        self._broker = broker
        self._guard = guard or CrashGuard()
        self._number = lane.order.begin()
        self._waiting: dict[asyncio.Future[object], str] = {}  # what a node waits for → its id
        self._expected: list[asyncio.Future[bytes]] = []
        self._sent: list[tuple[str, asyncio.Task[None]]] = []

    async def finish(self) -> None:
        """Resolve every node; return when everything is published.

        Raises:
            NodeFailed: by the first node that failed. What other nodes had published before stays published.
        """
        try:
            await self._resolve()
            for node, sending in self._sent:
                try:
                    await sending
                except TidemillError as error:
                    raise NodeFailed(node, error) from error
        except NodeFailed:
            await asyncio.gather(*(sending for _, sending in self._sent), return_exceptions=True)
            raise
        finally:
            await self._let_go()

    async def _resolve(self) -> None:
        root = self.lane.root
        try:
            self._guard.enter(self.message)
            self.results[root] = decode(self.message.payload)
        except BadPayload as error:
            raise NodeFailed(root, error) from error
        later = self._advance(self.lane.steps)
        while self._waiting:
            done, _ = await asyncio.wait(self._waiting, return_when=asyncio.FIRST_COMPLETED)
            for future in done:
                self._take(future)
            later = self._advance(later)

    def _advance(self, steps: Sequence[LiveStep]) -> list[LiveStep]:
        """Resolve what can be resolved without waiting; the steps that cannot yet are returned."""
        later: list[LiveStep] = []
        blocked = set(self._waiting.values())
        for step in steps:
            if not blocked.isdisjoint(step.parents):
                blocked.add(step.id)
                later.append(step)
                continue
            try:
                value = self._input(step)
                result = SKIPPED if value is SKIPPED else step.node.resolve(value, self)
            except Exception as error:  # a library may raise anything; it costs this message, not the worker
                raise NodeFailed(step.id, error) from error
            if isinstance(result, Awaitable):
                self._waiting[asyncio.ensure_future(result)] = step.id
                blocked.add(step.id)
            else:
                self.results[step.id] = result
        return later

    def _input(self, step: LiveStep) -> object:
        given = {str(source): self._given_by(source) for source in step.inputs}
        if len(step.inputs) == 1:
            return next(iter(given.values()))
        there = {source: value for source, value in given.items() if value is not SKIPPED}
        enough = len(there) == len(given) if step.join_all else bool(there)
        return there if enough else SKIPPED

    def _given_by(self, source: Source) -> object:
        result = self.results[source.node]
        return result.values.get(source.branch, SKIPPED) if isinstance(result, Branches) else result

    def _take(self, future: "asyncio.Future[object]") -> None:
        node = self._waiting.pop(future)
        try:
            self.results[node] = future.result()
        except (
            Exception,
            asyncio.CancelledError,
        ) as error:  # as above; it is what the node waited for that was cancelled
            raise NodeFailed(node, error) from error

    async def _let_go(self) -> None:
        """Wait for nothing any more, and let later runs pass."""
        for expected in self._expected:
            expected.cancel()
        begun: list[asyncio.Future[object] | asyncio.Task[None]] = [*self._waiting]
        begun += [sending for _, sending in self._sent if not sending.done()]
        for future in begun:
            future.cancel()
        if begun:
            await asyncio.gather(*begun, return_exceptions=True)
        self._guard.leave()
        self.lane.order.end(self._number)

    def send(self, node: str, publication: Publication) -> None:
        """Publish in the background; the run ends when the broker has it."""
        self._sent.append((node, asyncio.create_task(deliver(self._broker, publication), name="publish")))
        self.lane.order.at(node).leave(self._number)

    def is_first_at(self, node: str) -> bool:
        """Whether the answers to all earlier messages have left this node."""
        return self.lane.order.at(node).is_first(self._number)

    async def turn_at(self, node: str) -> None:
        """Return when the answers to all earlier messages have left this node."""
        await self.lane.order.at(node).wait(self._number)

    def next_message(self, node: str, timeout_s: float) -> Awaitable[object]:
        """The next message of a mqtt_sub in the middle; it counts from this call on."""
        coming = self.lane.inboxes[node].next_payload()
        self._expected.append(coming)
        return self._read(coming, timeout_s)

    async def _read(self, coming: "asyncio.Future[bytes]", timeout_s: float) -> object:
        try:
            async with asyncio.timeout(timeout_s):
                return decode(await coming)
        except TimeoutError as error:
            raise BadPayload(f"no message came within {timeout_s:g} s") from error
