"""Small bars for series of numbers."""

import pytest

from tidemill.cli.sparkline import MOST_BARS, sparkline


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        ([], ""),
        ([3.0], "▄"),
        ([1, 1, 1], "▄▄▄"),
        ([0, 7], "▁█"),
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        ([2, -2, 0], "█▁▅"),
    ],
)
def test_bars_stand_between_the_least_and_the_most(values: list[float], bars: str) -> None:
    """The least number is the lowest bar, the most the highest; equal ones are in between."""
    assert sparkline(values) == bars


def test_of_many_there_is_a_choice() -> None:
    """A long series is as many bars as fit, the first and the last number among them."""
    bars = sparkline([0.0, *([5.0] * 5000), 10.0])
    assert (len(bars), bars[0], bars[-1]) == (MOST_BARS, "▁", "█")
