"""Asks one subject and measures, in a process of its own: ``python -m benchmarks.engine.load``, started by the others.

Either as fast as the subject answers, with a fixed number of questions on their way, so that no queue overflows; or at
a steady rate, whether it answers or not. Prints JSON. Needs the standard library alone.
"""

import argparse
import gc
import json
import os
import select
import statistics
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

from benchmarks.engine.wire import Publisher, Wire
from benchmarks.engine.work import FIRST_NUMBER, PROBE_NUMBER, QUESTION, Place, number_in

WINDOW = 4096  # questions on their way: of subjects without TCP_NODELAY, less than 64 KiB of answers would lie waiting
BATCH = 64  # are asked in one piece
WARM_S = 0.5
PATIENCE_S = 60.0  # for the first answer, and a sixth of it for the last
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Told:
    """What came of it."""

    asked: int = 0
    lost: int = 0
    repeated: int = 0
    rate: float = 0.0  # answers per second
    processor_us: float = 0.0  # of the subject's process, per answer
    p50_ms: float = 0.0
    p99_ms: float = 0.0


class Asker:
    """Asks a subject numbered questions."""

    def __init__(self, place: Place) -> None:
        self.wire = Wire(place.port, f"load-{os.getpid()}")
        self.wire.subscribe(place.answers, place.qos)
        self._publisher = Publisher(place.questions, place.qos, len(QUESTION % FIRST_NUMBER))
        self.asked = 0
        self.answers: list[bytes] = []

    def ask(self, count: int) -> None:
        """The next questions, in one piece."""
        first = FIRST_NUMBER + self.asked
        packet = self._publisher.packet
        self.wire.send(b"".join([packet(number, QUESTION % number) for number in range(first, first + count)]))
        self.asked += count

    def receive(self, timeout_s: float) -> list[bytes]:
        """What came, kept too."""
        came = self.wire.receive(timeout_s)
        self.answers += came
        return came

    def wait_for_the_subject(self) -> None:
        """Ask until it answers, and let it catch up with that."""
        asked, give_up_at_s = 0, perf_counter() + PATIENCE_S
        while not self.answers:
            if perf_counter() > give_up_at_s:
                raise TimeoutError(f"no answer within {PATIENCE_S:g} s")
            self.wire.send(self._publisher.packet(asked, QUESTION % PROBE_NUMBER))
            asked += 1
            self.receive(0.2)
        while len(self.answers) < asked and self.receive(0.5):
            pass
        self.answers.clear()

    def wait_for_the_rest(self) -> None:
        """Until everything is answered, or nothing has come for long."""
        while len(self.answers) < self.asked and self.receive(PATIENCE_S / 6):
            pass


def saturate(asker: Asker, seconds: float, pid: int) -> Told:
    """As fast as it answers."""
    begin_s = perf_counter() + WARM_S
    before: tuple[float, float, int] | None = None
    while (now_s := perf_counter()) < begin_s + seconds:
        if before is None and now_s >= begin_s:
            before = now_s, processor_s(pid), len(asker.answers)
        while WINDOW - (asker.asked - len(asker.answers)) >= BATCH:
            asker.ask(BATCH)
        if not asker.receive(PATIENCE_S / 6):
            break  # some were lost: there is no room for new ones
    after = perf_counter(), processor_s(pid), len(asker.answers)
    asker.wait_for_the_rest()
    told = checked(asker)
    if before is not None and (answered := after[2] - before[2]):
        told.rate = answered / (after[0] - before[0])
        told.processor_us = (after[1] - before[1]) / answered * 1e6
    return told


def steady(asker: Asker, rate: float, seconds: float | None) -> Told:
    """At that rate; without an end until stdin closes. Times are from each question's own way into the socket."""
    sent_s: list[float] = []
    trips_ms: list[float] = []
    first_s = perf_counter()
    count = None if seconds is None else int(rate * seconds)
    while asker.asked != count and not (count is None and _is_closed(sys.stdin.fileno())):
        due_s = first_s + asker.asked / rate
        if (now_s := perf_counter()) >= due_s:
            sent_s.append(now_s)
            asker.ask(1)
        else:
            _take(asker, due_s - now_s, sent_s, trips_ms)
    while len(asker.answers) < asker.asked and _take(asker, PATIENCE_S / 6, sent_s, trips_ms):
        pass
    told = checked(asker)
    told.rate = len(asker.answers) / (perf_counter() - first_s)
    if len(trips_ms) > 1:
        told.p50_ms, told.p99_ms = statistics.median(trips_ms), statistics.quantiles(trips_ms, n=100)[98]
    return told


def _take(asker: Asker, timeout_s: float, sent_s: list[float], trips_ms: list[float]) -> bool:
    came = asker.receive(timeout_s)
    now_s = perf_counter()
    trips_ms += [(now_s - sent_s[number_in(answer) - FIRST_NUMBER]) * 1e3 for answer in came]
    return bool(came)


def _is_closed(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


def checked(asker: Asker) -> Told:
    """Which numbers came back, and how often."""
    numbers = [number_in(answer) for answer in asker.answers]
    wanted = range(FIRST_NUMBER, FIRST_NUMBER + asker.asked)
    assert all(number in wanted for number in numbers), "an answer to no question of this process"
    different = len(set(numbers))
    return Told(asked=asker.asked, lost=asker.asked - different, repeated=len(numbers) - different)


def processor_s(pid: int) -> float:
    """Of all threads of a process so far, and of its children that have ended; 0 without one."""
    if not pid:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / _TICKS


def main() -> None:
    """Ask one subject."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("name")
    parser.add_argument("--qos", type=int, default=0)
    parser.add_argument("--pid", type=int, default=0, help="the subject's process")
    parser.add_argument("--rate", type=float, help="questions a second; without it as fast as it answers")
    parser.add_argument("--seconds", type=float, help="without it until stdin closes")
    options = parser.parse_args()
    gc.disable()
    asker = Asker(Place(options.port, options.name, options.qos))
    asker.wait_for_the_subject()
    if options.rate is None:
        told = saturate(asker, options.seconds, options.pid)
    else:
        told = steady(asker, options.rate, options.seconds)
    asker.wire.close()
    print(json.dumps(asdict(told)))


if __name__ == "__main__":
    main()
