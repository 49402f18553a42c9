"""Ends a call that takes too much CPU, wherever in it Python is; the only place that uses the process's CPU timer."""

import signal
from threading import current_thread, main_thread
from time import thread_time

_SHORTEST_S = 0.001


class OutOfTime(BaseException):
    """No Exception: code that is interrupted must not take it for an error of its own."""


class CpuTimer:
    """Interrupts Python code, and regular expressions, which look for signals too; in the main thread only.

    A process has one such timer (``ITIMER_VIRTUAL``), and so there is one of these: ``CPU_TIMER``.
    """

    def __init__(self) -> None:
        self._until_s: float | None = None  # of the thread's CPU; None: nothing is to be interrupted
        self._is_set_up = False

    def start(self, limit_s: float) -> None:
        """From now on the main thread has so much CPU until ``stop``, or OutOfTime is raised in it.

        In another thread this does nothing: Python tells only the main one of signals.
        """
        if current_thread() is not main_thread():
            return
        if not self._is_set_up:
            signal.signal(signal.SIGVTALRM, self._rang)  # first: unheard, the signal ends the process
            self._is_set_up = True
        self._until_s = thread_time() + limit_s
        signal.setitimer(signal.ITIMER_VIRTUAL, limit_s)

    def stop(self) -> None:
        """Interrupt nothing any more."""
        if self._until_s is not None and current_thread() is main_thread():
            self._until_s = None
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    def _rang(self, _number: int, _frame: object) -> None:
        if self._until_s is None:
            return  # it was just stopped
        left_s = self._until_s - thread_time()
        if left_s > 0:  # the timer counts what the process's other threads take, too
            signal.setitimer(signal.ITIMER_VIRTUAL, max(left_s, _SHORTEST_S))
            return
        self._until_s = None
        raise OutOfTime


CPU_TIMER = CpuTimer()
