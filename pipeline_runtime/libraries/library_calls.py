"""Calls a library's functions; whatever goes wrong in them becomes a BadPayload that names the library and its line."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from types import CoroutineType
from typing import Any

from pipeline_runtime.libraries.call_threads import CallThreads
from pipeline_runtime.libraries.library_context import Context
from pipeline_runtime.libraries.library_module import FOREIGN, Hook, Library, describe
from pipeline_runtime.libraries.library_values import as_result
from pipeline_runtime.libraries.time_limit import TimeLimit
from pipeline_runtime.running.beginning import begun
from pipeline_runtime.running.rest import rest
from schemas.errors import BadPayload

MAX_THREADS = 32  # of one node


class LibraryCalls:
    """The calls that one node makes."""

    def __init__(self, library: Library, caller: str, limit_s: float) -> None:
        """``caller`` is what the threads are named after; a call of ``exec`` that waits for so long is given up."""
        self._library = library
        self._threads = CallThreads(caller, MAX_THREADS)
        self._limit = TimeLimit(limit_s)

    def failure(self, error: BaseException) -> BadPayload:
        """What becomes of an error that the library raised."""
        return BadPayload(f"{self._library.name}: {describe(error, self._library.path)}")

    def result(self, value: object) -> object:
        """What ``exec`` gave, in JSON's types. Raises BadPayload."""
        try:
            return as_result(value)
        except BadPayload as error:
            raise BadPayload(f"{self._library.name}: {error}") from error

    def begun(self, call: Awaitable[object]) -> object:
        """What an async ``exec`` gives, or a future of that if it waits. Raises BadPayload."""
        try:
            outcome = begun(call if isinstance(call, CoroutineType) else _awaited(call), self._go_on)
        except FOREIGN as error:
            raise self.failure(error) from error
        return self.result(outcome[0]) if isinstance(outcome, tuple) else outcome

    async def _go_on(self, call: Coroutine[Any, Any, object], waits_for: object) -> object:
        task = self._limit.begin()
        try:
            result = await rest(call, waits_for)
        except FOREIGN as error:
            if self._limit.end(task):
                raise self._late(self._limit.limit_s) from error
            if isinstance(error, asyncio.CancelledError):
                raise  # by whoever does not want it any more
            raise self.failure(error) from error
        self._limit.end(task)
        return self.result(result)

    async def in_thread(self, call: Callable[[], object], timeout_s: float) -> object:
        """What ``call``, which raises only BadPayload, gives; when it is late it goes on, but nobody hears of it."""
        answer = self._threads.submit(call)
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.wrap_future(answer)
        except TimeoutError as error:
            was_begun = not answer.cancelled()
            raise self._late(timeout_s, "" if was_begun else f": all of its {MAX_THREADS} threads are busy") from error

    async def hook(self, hook: Hook | None, context: Context, timeout_s: float) -> None:
        """Call ``open`` or ``close``: a plain one in a thread, because it may take its time."""
        if hook is None:
            return

        def call() -> object:
            try:
                return hook(context)
            except FOREIGN as error:
                raise self.failure(error) from error

        result = call() if inspect.iscoroutinefunction(hook) else await self.in_thread(call, timeout_s)
        if not isinstance(result, Awaitable):
            return
        limit = asyncio.timeout(timeout_s)
        try:
            async with limit:
                await result
        except (Exception, SystemExit) as error:
            raise (self._late(timeout_s) if limit.expired() else self.failure(error)) from error

    def close(self) -> None:
        """Let the threads end, as far as they do."""
        self._threads.close()

    def _late(self, timeout_s: float, why: str = "") -> BadPayload:
        return BadPayload(f"{self._library.name} gave no answer within {timeout_s:g} s{why}")


async def _awaited(call: Awaitable[object]) -> object:
    return await call
