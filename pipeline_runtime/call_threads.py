"""Threads for calls that block: begun when they are needed, and no obstacle to the process's end when they hang."""

from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Semaphore, Thread

Call = Callable[[], object]


class CallThreads:
    """Up to ``limit`` threads. The executor of the standard library would wait at exit for a call that hangs."""

    def __init__(self, name: str, limit: int) -> None:
        self._name, self._limit = name, limit
        self._calls: SimpleQueue[tuple[Future[object], Call] | None] = SimpleQueue()
        self._idle = Semaphore(0)
        self._begun = 0

    def submit(self, call: Call) -> Future[object]:
        """Have it called by the next free thread; a call that is cancelled before that is not made."""
        future: Future[object] = Future()
        self._calls.put((future, call))
        if not self._idle.acquire(blocking=False) and self._begun < self._limit:
            self._begun += 1
            Thread(target=self._serve, name=f"{self._name}-{self._begun}", daemon=True).start()
        return future

    def close(self) -> None:
        """Let the threads end once the calls made so far have."""
        for _ in range(self._begun):
            self._calls.put(None)

    def _serve(self) -> None:
        while (item := self._next()) is not None:
            future, call = item
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:  # noqa: BLE001 - whoever waits for the call has to be told, whatever it is
                    future.set_exception(error)
            del item, future, call  # nothing is kept alive while this thread waits

    def _next(self) -> tuple[Future[object], Call] | None:
        try:
            return self._calls.get_nowait()
        except Empty:
            self._idle.release()
            return self._calls.get()
