"""A series of numbers as one line of small bars."""

from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"
MOST_BARS = 60


def sparkline(values: Sequence[float]) -> str:
    """A bar for each number, between the least and the most; of very many, an even choice with the last one."""
    last = len(values) - 1
    count = min(len(values), MOST_BARS)
    chosen = [values[round(place * last / max(count - 1, 1))] for place in range(count)]
    if not chosen:
        return ""
    least, most = min(chosen), max(chosen)
    if most == least:
        return _BARS[3] * count
    step = (len(_BARS) - 1) / (most - least)
    return "".join(_BARS[round((value - least) * step)] for value in chosen)
