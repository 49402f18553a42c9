"""The paired bootstrap: how sure one can be of the difference between two models on the same rows. Pure."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

SEED = 20_261_127
_FEWEST = 0.5  # of the resamples have to be computable

Rows = NDArray[np.intp]


def interval(
    gain: Callable[[Rows], float], rows: int, *, confidence: float, resamples: int
) -> tuple[float, float] | None:
    """The percentile interval of a difference (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, §13.3).

    Each resample draws as many rows as there are, with replacement, and the same ones for both models: so what makes a
    row hard for both does not count. Always the same draws.

    Args:
        gain: the difference on some rows, by their numbers; raises ValueError where it cannot be computed, such as for
            rows that are all of one class.
        rows: how many there are.
        confidence: such as 0.95.
        resamples: how often.

    Returns:
        The lower and the upper end; None if it could be computed for too few resamples.
    """
    draw = np.random.default_rng(SEED)
    gains: list[float] = []
    for _ in range(resamples):
        try:
            gains.append(gain(draw.integers(0, rows, rows)))
        except ValueError:
            continue
    found = np.array([one for one in gains if np.isfinite(one)])
    if found.size < max(1, resamples * _FEWEST):
        return None
    tail = (1 - confidence) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    return float(low), float(high)
