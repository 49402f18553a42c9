"""Begins what a node wants to wait for: a coroutine that need not wait has ended when this returns.

    spare task ─▶ a coroutine's first step ─▶ it waits: the task is its own, and drives it to its end
        ▲                    └ it has ended, well or not
        └────────────────────┘

A coroutine has one task from its first step to its last, so that all that asyncio ties to tasks is as ever: timeouts,
groups, cancellation, variables of the context. Only those that never wait share a task, one after the other, which is
not always among ``asyncio.all_tasks()``. How to take a step in a task's name: "Extending", in asyncio's documentation.
"""

import asyncio
import sys
import threading
from asyncio.tasks import _enter_task, _leave_task, _register_task, _unregister_task
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import copy_context
from types import CoroutineType, coroutine
from typing import Any

from pipeline_runtime.running.rest import NOT_BEGUN, rest

Begun = asyncio.Future[Any] | tuple[object]
"""A future for what waits; what came at once is in a tuple of one."""

Rest = Callable[[Coroutine[Any, Any, Any], object], Awaitable[object]]
"""Goes on with a coroutine, given what its first step has yielded, or NOT_BEGUN."""


def begun(awaitable: Awaitable[object], go_on: Rest = rest) -> Begun:
    """Take the first step, and have ``go_on`` take the others. Raises what the first step raises."""
    if not isinstance(awaitable, CoroutineType):
        future = asyncio.ensure_future(awaitable)
        return (future.result(),) if future.done() else future
    loop = asyncio.get_running_loop()
    if sys.version_info >= (3, 12):
        task = asyncio.Task(_whole(awaitable, go_on), loop=loop, eager_start=True)
        return (task.result(),) if task.done() else task
    spare = _thread.spare
    if spare is None or spare.loop is not loop:
        spare = _thread.spare = _Spare(loop)
    elif not spare.is_as_new():
        spare.task.cancel()
        spare = _thread.spare = _Spare(loop)
    return spare.begin(awaitable, go_on)


async def _whole(given: Coroutine[Any, Any, object], go_on: Rest) -> object:
    try:
        waits_for = given.send(None)
    except StopIteration as ended:
        return ended.value
    return await go_on(given, waits_for)


class _Spare:
    """A task that is still to get its coroutine. Idle, it is no work under way, and not among the loop's tasks."""

    __slots__ = ("_context", "_go_on", "_idle", "_is_future", "_is_spare", "_own", "_waits_for", "loop", "task")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._context = copy_context()
        self._is_spare = True
        self._idle: asyncio.Future[None] | None = None
        self._own: Coroutine[Any, Any, object]
        self._go_on: Rest
        self._waits_for: Any  # what its own coroutine has yielded in its first step
        self._is_future = False
        life = self._live()
        life.send(None)  # as far as it goes without its task: one that never ran could be complained of
        self.task = asyncio.Task(life, loop=loop, name="what a node waits for", context=self._context)

    def is_as_new(self) -> bool:
        """Whether a coroutine would find in this task what it would find in a new one."""
        own, now, task = self._context, copy_context(), self.task
        same = len(own) == len(now) and (not now or all(own.get(name) is value for name, value in now.items()))
        return same and not task.cancelling() and not task.done()

    def begin(self, given: Coroutine[Any, Any, object], go_on: Rest) -> Begun:
        """Take a coroutine's first step; if it waits, the task is its own. Raises what the step raises."""
        try:
            _enter_task(self.loop, self.task)
        except RuntimeError:  # in the midst of another task's step
            return asyncio.ensure_future(go_on(given, NOT_BEGUN))
        try:
            waits_for = self._context.run(given.send, None)
        except StopIteration as ended:
            return self.task if self.task.cancelling() else (ended.value,)
        finally:
            _leave_task(self.loop, self.task)
        _thread.spare = None
        self._own, self._waits_for, self._go_on = given, waits_for, go_on
        self._take_over()
        return self.task

    def _take_over(self) -> None:
        self._is_spare = False
        if getattr(self._waits_for, "_asyncio_future_blocking", False):
            self._is_future = True
            self._waits_for._asyncio_future_blocking = False  # noqa: SLF001 - until the next step: others may await it
        if self._idle is not None:
            self.task._log_destroy_pending = True  # type: ignore[attr-defined] # noqa: SLF001
            _register_task(self.task)
            if not self._idle.done():
                self._idle.set_result(None)

    async def _live(self) -> object:
        try:
            await _turn()
            if self._is_spare:
                await self._until_taken()
        except asyncio.CancelledError as error:
            if self._is_spare:
                raise
            if self.task.cancelling():
                self.task.cancel(*error.args)  # once more, where its own coroutine waits
                self.task.uncancel()
        if self._is_future:
            self._waits_for._asyncio_future_blocking = True  # noqa: SLF001
        return await self._go_on(self._own, self._waits_for)

    async def _until_taken(self) -> None:
        _unregister_task(self.task)
        self.task._log_destroy_pending = False  # type: ignore[attr-defined] # noqa: SLF001 - it goes with its loop
        self._idle = self.loop.create_future()
        await self._idle


@coroutine
def _turn() -> Generator[None, None, None]:
    yield


class _Thread(threading.local):
    """What there is once for each thread, as its running loop is."""

    spare: _Spare | None = None


_thread = _Thread()
