"""`tidemill pipeline replay`: a recording through one pipeline, or through two that are compared."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from schemas.errors import BadInput, Conflict
from tidemill.cli.comparison_view import print_comparison, print_latencies
from tidemill.cli.output import print_json, print_table, printable, say
from tidemill.cli.pipeline_side import Side
from tidemill.replay.answers import Outcome
from tidemill.replay.comparing import Comparison, quantiles
from tidemill.replay.recording import read_recording
from tidemill.replay.replaying import Pace, replay
from tidemill.replay.value_differences import Tolerance

__all__ = ["Options", "Side", "Tolerance", "replay_file"]


@dataclass(frozen=True, slots=True)
class Options:
    """How to replay, and what to do with the answers."""

    tolerance: Tolerance
    speed: str
    out: Path | None
    allow_effects: bool
    as_json: bool


async def replay_file(first: Side, second: Side | None, recording: Path, options: Options) -> int:
    """Replay, and print what came of it; returns the exit status: 1 if two pipelines differ.

    Raises:
        BadInput: a pipeline, the recording, or what they need is wrong.
        NotFound: there is no such recording.
        Conflict: the file for the answers is there already.
    """
    sides = [first] if second is None else [first, second]
    pipelines = [side.prepare(*sides, allow_effects=options.allow_effects) for side in sides]
    pace = Pace(_speed(options.speed))
    read = partial(read_recording, recording, say)
    summary, comparison = Summary(), Comparison()

    with _writing(options.out) as write:

        def take(outcomes: tuple[Outcome, ...]) -> None:
            before, *after = outcomes
            write(before)
            summary.add(before)
            for outcome in after:
                comparison.add(before, outcome, options.tolerance)

        passed_over = await replay(pipelines, read, pace, take)
    if passed_over.messages:
        topic = printable(repr(passed_over.topic))
        say(f"messages passed over, because no mqtt_sub listens for them: {passed_over.messages}, such as on {topic}")
    if second is None:
        summary.print(as_json=options.as_json)
        return 0
    print_comparison(comparison, as_json=options.as_json)
    return 1 if comparison.different else 0


@dataclass(slots=True)
class Summary:
    """What one pipeline made of a recording."""

    messages: int = 0
    answers: int = 0
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)  # node, reason
    latencies: list[float] = field(default_factory=list)  # in ms

    def add(self, outcome: Outcome) -> None:
        """Count what came of a message."""
        self.messages += 1
        self.answers += len(outcome.answers)
        self.latencies.append(outcome.latency_ms)
        if outcome.failure is not None:
            self.failures[outcome.failure.node, outcome.failure.reason] += 1

    def print(self, *, as_json: bool) -> None:
        """Tell it."""
        measured = quantiles(self.latencies)
        failed = sum(self.failures.values())
        if as_json:
            failures = [{"node": node, "reason": reason, "times": n} for (node, reason), n in self.failures.items()]
            latency = None if measured is None else {name: getattr(measured, name) for name in measured.__slots__}
            counts = {"messages": self.messages, "failed": failed, "answers": self.answers}
            print_json({**counts, "failures": failures, "latency_ms": latency})
            return
        say(f"{self.messages} messages, {failed} failed, {self.answers} answers")
        if failed:
            rows = [[times, node, reason] for (node, reason), times in self.failures.most_common(20)]
            print_table(("TIMES", "NODE", "REASON"), rows)
        print_latencies({"": measured})


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not (speed > 0 and math.isfinite(speed)):
        raise BadInput(f"--speed {text}: write max, or how many times as fast as it was recorded, such as 1 or 10")
    return speed


@contextmanager
def _writing(out: Path | None) -> Iterator[Callable[[Outcome], None]]:
    if out is None:
        yield lambda _: None
        return
    try:
        with out.open("x", encoding="utf-8") as file:
            yield lambda outcome: print(outcome.model_dump_json(), file=file)
    except FileExistsError as error:
        raise Conflict(f"{out} is there already: name another file, or delete it") from error
    except OSError as error:
        raise BadInput(f"{out} cannot be written: {error.strerror}") from error
