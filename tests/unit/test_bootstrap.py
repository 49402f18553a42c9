"""The paired bootstrap: right where it can be reckoned by hand, and as sure as it says."""

import numpy as np
import pytest

from controller.gates.bootstrap import interval


def test_no_difference_has_no_width() -> None:
    """Two models that are right on the same rows."""
    right = np.array([1.0, 0.0, 1.0, 1.0])
    assert interval(lambda rows: float((right - right)[rows].mean()), 4, confidence=0.95, resamples=500) == (0.0, 0.0)


def test_it_is_that_of_a_slow_and_plain_one() -> None:
    """Against the definition, spelled out with loops, on the same draws."""
    gains = np.random.default_rng(1).normal(0.1, 1.0, 60)
    found = interval(lambda rows: float(gains[rows].mean()), 60, confidence=0.9, resamples=300)
    draw = np.random.default_rng(20_261_127)
    means = sorted(sum(gains[row] for row in draw.integers(0, 60, 60)) / 60 for _ in range(300))
    assert found is not None
    assert found[0] == pytest.approx(np.quantile(means, 0.05))
    assert found[1] == pytest.approx(np.quantile(means, 0.95))


def test_it_holds_what_it_says() -> None:
    """Of 200 experiments with a known difference, about as many intervals as promised have it inside."""
    world = np.random.default_rng(7)
    inside = 0
    for _ in range(200):
        gains = world.normal(0.2, 1.0, 120)
        ends = interval(lambda rows, gains=gains: float(gains[rows].mean()), 120, confidence=0.9, resamples=200)  # type: ignore[misc]
        assert ends is not None
        inside += ends[0] <= 0.2 <= ends[1]
    assert 165 <= inside <= 195


def test_pairs_matter() -> None:
    """Rows that are hard for both models do not widen the interval: only where they differ counts."""
    hard = np.random.default_rng(3).normal(0, 10, 200)
    mine, theirs = hard + 0.5, hard
    ends = interval(lambda rows: float((mine - theirs)[rows].mean()), 200, confidence=0.95, resamples=200)
    assert ends is not None
    assert list(ends) == pytest.approx([0.5, 0.5])


def test_samples_for_which_there_is_no_number_are_left_out() -> None:
    """Too many of them, and there is no interval."""

    def sometimes(rows: np.ndarray) -> float:
        if rows[0] < 10:
            raise ValueError("one class only")
        return 1.0

    assert interval(sometimes, 40, confidence=0.95, resamples=100) == (1.0, 1.0)
    assert interval(sometimes, 11, confidence=0.95, resamples=100) is None
