"""Tidemill and its peers in turns: processor time, rate, latency, memory and losses, and their ratios in one round."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from subprocess import CalledProcessError

import psutil

from benchmarks.engine import node_red
from benchmarks.engine.asking import broker, load
from benchmarks.engine.networks import scorer
from benchmarks.engine.subjects import BARE_LOOP, BARE_SCRIPT, NODE_RED, SUBJECTS, TIDEMILL, Process, running
from benchmarks.engine.work import Place
from benchmarks.figures import Figure

RATE = 500.0  # questions a second, where latency is measured
PROCESSOR, ANSWERS, P50, P99, MEMORY, LOST = "processor", "answers", "p50", "p99", "RSS", "lost"
UNITS = {PROCESSOR: "µs/message", ANSWERS: "1/s", P50: "ms", P99: "ms", MEMORY: "MB", LOST: "messages"}
GOALS = {  # of what, against whom, at most
    (PROCESSOR, NODE_RED): 0.75,
    (PROCESSOR, BARE_SCRIPT): 0.65,
    (PROCESSOR, BARE_LOOP): 1.3,
    (P99, NODE_RED): 0.25,
}

Measured = dict[str, list[float]]
"""By what was measured, one value for each round."""


def measure(rounds: int, seconds: float) -> list[Figure]:
    """Every subject in every round, so that whatever else the machine does hits each alike."""
    names = _there()
    figures: list[Figure] = []
    for qos in (0, 1):
        with broker() as (port, folder):
            found = _measure(names, port, qos, folder, rounds=rounds, seconds=seconds)
        figures += _told(found, qos)
    return figures


def _there() -> Sequence[str]:
    try:
        node_red.install()
    except (CalledProcessError, OSError) as error:
        print(f"{NODE_RED} is left out, because it could not be installed: {error}")
        return [name for name in SUBJECTS if name != NODE_RED]
    return list(SUBJECTS)


def _measure(
    names: Sequence[str], port: int, qos: int, folder: Path, *, rounds: int, seconds: float
) -> Mapping[str, Measured]:
    """Each is started anew in every round: how a peer's connection begins decides how late its answers are."""
    model = scorer(folder / "scorer.onnx")
    found: dict[str, Measured] = {name: defaultdict(list) for name in names}
    for number in range(rounds):
        with ExitStack() as stack:
            places = {name: Place(port, f"{name.replace(' ', '-')}-{number}", qos) for name in names}
            processes = {
                name: stack.enter_context(running(name, places[name], model, folder / places[name].name))
                for name in names
            }
            for at in range(len(names)):
                name = names[(at + number) % len(names)]
                _measure_once(places[name], processes[name], seconds, found[name])
    return found


def _measure_once(place: Place, process: Process, seconds: float, found: Measured) -> None:
    fast = load(place, "--pid", str(process.pid), "--seconds", str(seconds))
    calm = load(place, "--rate", str(RATE), "--seconds", str(seconds))
    found[PROCESSOR].append(fast.processor_us)
    found[ANSWERS].append(fast.rate)
    found[P50].append(calm.p50_ms)
    found[P99].append(calm.p99_ms)
    found[MEMORY].append(psutil.Process(process.pid).memory_info().rss / 1e6)
    found[LOST].append(fast.lost + calm.lost)


def _told(found: Mapping[str, Measured], qos: int) -> list[Figure]:
    figures = [
        Figure(
            f"QoS {qos}, {name}: {what}",
            tuple(values),
            UNITS[what],
            0.0 if what == LOST and name == TIDEMILL else None,
        )
        for name, measured in found.items()
        for what, values in measured.items()
    ]
    ratios = [
        Figure(f"{what}, QoS {qos}: {TIDEMILL} / {peer}", _ratios(found[TIDEMILL][what], found[peer][what]), "×", goal)
        for (what, peer), goal in GOALS.items()
        if peer in found
    ]
    return figures + ratios


def _ratios(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, ...]:
    return tuple(mine / other for mine, other in zip(ours, theirs, strict=True))
