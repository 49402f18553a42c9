"""Calls a library's functions; whatever goes wrong in them becomes a BadPayload that names the library and its line."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from types import CoroutineType

from pipeline_runtime.libraries.call_threads import CallThreads
from pipeline_runtime.libraries.library_context import Context
from pipeline_runtime.libraries.library_module import FOREIGN, Hook, Library, describe
from pipeline_runtime.running.rest import rest
from schemas.errors import BadPayload

MAX_THREADS = 32  # of one node


class LibraryCalls:
    """The calls that one node makes."""

    def __init__(self, library: Library, caller: str) -> None:
        """``caller`` is what the threads are named after."""
        self._library = library
        self._threads = CallThreads(caller, MAX_THREADS)

    def failure(self, error: BaseException) -> BadPayload:
        """What becomes of an error that the library raised."""
        return BadPayload(f"{self._library.name}: {describe(error, self._library.path)}")

    async def awaited(self, result: Awaitable[object], timeout_s: float) -> object:
        """What an async function gives; it is cancelled when it is late."""
        try:
            if isinstance(result, CoroutineType):
                result = rest(result, result.send(None))
        except StopIteration as ended:
            return ended.value
        except (Exception, SystemExit) as error:
            raise self.failure(error) from error
        limit = asyncio.timeout(timeout_s)  # for what really waits: it costs more than many a call
        try:
            async with limit:
                return await result
        except (Exception, SystemExit) as error:  # a cancelled run must stay cancelled
            raise (self._late(timeout_s) if limit.expired() else self.failure(error)) from error

    async def in_thread(self, call: Callable[[], object], timeout_s: float) -> object:
        """What ``call``, which raises only BadPayload, gives; when it is late it goes on, but nobody hears of it."""
        answer = self._threads.submit(call)
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.wrap_future(answer)
        except TimeoutError as error:
            begun = not answer.cancelled()
            raise self._late(timeout_s, "" if begun else f": all of its {MAX_THREADS} threads are busy") from error

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
        if isinstance(result, Awaitable):
            await self.awaited(result, timeout_s)

    def close(self) -> None:
        """Let the threads end, as far as they do."""
        self._threads.close()

    def _late(self, timeout_s: float, why: str = "") -> BadPayload:
        return BadPayload(f"{self._library.name} gave no answer within {timeout_s:g} s{why}")
