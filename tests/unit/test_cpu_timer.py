"""The process's CPU timer, with real signals."""

import re
import signal
import threading
from collections.abc import Iterator
from time import thread_time

import pytest

from pipeline_runtime.language.cpu_timer import CPU_TIMER, OutOfTime

ENDLESS = re.compile(r"^(a+)+$"), "a" * 40 + "!"


@pytest.fixture(autouse=True)
def _stopped() -> Iterator[None]:
    yield
    CPU_TIMER.stop()
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)


def test_a_regular_expression_is_interrupted() -> None:
    """Though it is one call into C."""
    pattern, text = ENDLESS
    CPU_TIMER.start(0.02)
    with pytest.raises(OutOfTime):
        pattern.search(text)


def test_what_other_threads_take_does_not_count() -> None:
    """The timer is the process's; the bound is the thread's, so what waits for a busy one is not ended."""

    def work() -> None:
        while thread_time() < 0.06:
            sum(range(1000))

    CPU_TIMER.start(0.02)
    busy = threading.Thread(target=work)
    busy.start()
    busy.join()
    assert signal.getitimer(signal.ITIMER_VIRTUAL)[0] > 0  # it goes on


def test_after_its_end_nothing_is_interrupted() -> None:
    """A signal that comes late is nobody's."""
    CPU_TIMER.start(10)
    CPU_TIMER.stop()
    signal.raise_signal(signal.SIGVTALRM)


def test_another_thread_neither_starts_nor_stops_it() -> None:
    """Signals are the main thread's."""

    def meddle() -> None:
        CPU_TIMER.start(0.001)
        CPU_TIMER.stop()

    CPU_TIMER.start(10)
    meddling = threading.Thread(target=meddle)
    meddling.start()
    meddling.join()
    assert signal.getitimer(signal.ITIMER_VIRTUAL)[0] > 1
