"""The engine's speed: CPU time, rate and latency against peers, and what the engine costs beyond the work of its nodes.

Peers are a bare script, a bare loop with Tidemill's client and codec, Node-RED, which is brought along the first time,
and an echo that does no work. Ratios are of the same round; absolute figures are those of a machine that had nothing
else to do, or they are worth nothing. Run: ``python -m benchmarks.engine [--only peers] [--rounds 5] [--json F]``;
``--profile`` tells where the microseconds go, and ``--markdown`` makes tables of a file written before.
"""

from argparse import Namespace
from collections.abc import Callable
from typing import NamedTuple

from benchmarks.engine import batching, diamond, instructions, many, peers, swaps
from benchmarks.engine.profile import profile
from benchmarks.engine.report import Report, markdown
from benchmarks.figures import Figure, arguments, show


class Part(NamedTuple):
    """Something that can be measured by itself."""

    title: str
    measure: Callable[[Namespace], list[Figure]]


PARTS = {
    "peers": Part("Four nodes, and peers", lambda told: peers.measure(told.rounds, told.seconds)),
    "diamond": Part("A diamond of seven nodes", lambda told: diamond.measure(2 * told.rounds + 1)),
    "instructions": Part("The diamond, in instructions", lambda _: instructions.measure()),
    "batching": Part("Messages answered together", lambda told: batching.measure(told.rounds)),
    "swaps": Part("Models swapped at 500 messages a second", lambda told: swaps.measure(told.swaps)),
    "many": Part("Many pipelines on one edge", lambda told: many.measure(told.pipelines)),
}


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS), help="these parts; others are kept")
    parser.add_argument("--resume", action="store_true", help="pass over what the JSON file has already")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each load on each peer")
    parser.add_argument("--swaps", type=int, default=1000)
    parser.add_argument("--pipelines", type=int, default=50)
    parser.add_argument("--profile", type=int, choices=(0, 1), nargs="?", const=0, help="at that QoS; nothing else")
    parser.add_argument("--markdown", action="store_true", help="print the JSON file's figures as tables; nothing else")
    options = parser.parse_args()
    report = Report(options.json)
    if options.profile is not None:
        profile(options.profile, 5 * options.seconds)
    elif options.markdown:
        print(markdown(report.parts), end="")
    else:
        for name in options.only:
            if not (options.resume and name in report.parts):
                figures = PARTS[name].measure(options)
                show(PARTS[name].title, figures)
                report.put(name, PARTS[name].title, figures)


if __name__ == "__main__":
    main()
