"""Threads for calls that block: begun when they are needed, and no obstacle to the process's end when they hang."""

from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Semaphore, Thread

Call = Callable[[], object]
_Calls = SimpleQueue[tuple[Future[object], Call] | None]


class CallThreads:
    """Up to ``limit`` threads. The executor of the standard library would wait at exit for a call that hangs."""

    def __init__(self, name: str, limit: int) -> None:
        self._name, self._limit = name, limit
        self._renew()

    def submit(self, call: Call) -> Future[object]:
        """Have it called by the next free thread; a call that is cancelled before that is not made."""
        future: Future[object] = Future()
        self._calls.put((future, call))
        if not self._idle.acquire(blocking=False) and self._begun < self._limit:
            self._begun += 1
            name = f"{self._name}-{self._begun}"
            Thread(target=_serve, args=(self._calls, self._idle), name=name, daemon=True).start()
        return future

    def close(self) -> None:
        """Let the threads end once the calls made so far have; a later call begins new ones."""
        for _ in range(self._begun):
            self._calls.put(None)
        self._renew()

    def _renew(self) -> None:
        self._calls: _Calls = SimpleQueue()
        self._idle = Semaphore(0)
        self._begun = 0


def _serve(calls: _Calls, idle: Semaphore) -> None:
    while (item := _next(calls, idle)) is not None:
        future, call = item
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - whoever waits for the call has to be told, whatever it is
                future.set_exception(error)
        del item, future, call  # nothing is kept alive while this thread waits


def _next(calls: _Calls, idle: Semaphore) -> tuple[Future[object], Call] | None:
    try:
        return calls.get_nowait()
    except Empty:
        idle.release()
        return calls.get()
