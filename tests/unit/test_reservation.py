"""Which rows are held out: a share, the same for ever, that no pattern of positions can tell."""

import math
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.data.reservation import Reservation

SEEDS = range(40)
POSITIONS = st.integers(min_value=1, max_value=2**63 - 1)


def reservation(seed: int, fraction: float = 0.1) -> Reservation:
    """A share of a collection ``press``."""
    return Reservation(("press",), fraction, seed)


@given(st.lists(POSITIONS, min_size=1, max_size=50), st.integers(0, 2**31 - 1), st.floats(0.001, 0.999))
def test_sqlite_computes_the_same(positions: list[int], seed: int, fraction: float) -> None:
    """The SQL and its description in Python agree for every position, seed and fraction, and nothing overflows."""
    chosen = reservation(seed, fraction)
    condition = chosen.condition("press", reserved=True)
    with closing(sqlite3.connect(":memory:")) as connection:
        for position in positions:
            (found,) = connection.execute(f"SELECT {condition} FROM (SELECT {position} AS position)").fetchone()  # noqa: S608
            assert bool(found) == chosen.holds(position)


@given(POSITIONS, st.integers(0, 2**31 - 1))
def test_every_row_is_on_one_side(position: int, seed: int) -> None:
    """A row is either reserved or not, for the training and for the holdout alike."""
    sides = [reservation(seed).condition("press", reserved=reserved) for reserved in (True, False)]
    with closing(sqlite3.connect(":memory:")) as connection:
        sql = f"SELECT {sides[0]}, {sides[1]} FROM (SELECT {position} AS position)"  # noqa: S608 - our own conditions
        assert sum(connection.execute(sql).fetchone()) == 1


def test_another_collection_is_whole() -> None:
    """Nothing is reserved where the holdout's query does not read."""
    assert reservation(1).condition("lines", reserved=False) == ""


@pytest.mark.parametrize("stride", [1, 2, 7, 10, 16, 100, 1000, 1024, 65536])
def test_the_share_is_the_same_in_every_pattern(stride: int) -> None:
    """Of every n-th row too, the fraction is reserved, within what chance allows, for each of many seeds."""
    rows, deviations = 3000, []
    for seed in SEEDS:
        chosen = reservation(seed)
        found = sum(chosen.holds(1 + number * stride) for number in range(rows))
        deviations.append((found - rows * 0.1) / math.sqrt(rows * 0.1 * 0.9))
    assert max(map(abs, deviations)) < 4.5
    assert 0.4 < sum(deviation**2 for deviation in deviations) / len(deviations) < 2


def test_neighbours_are_independent() -> None:
    """That a row is reserved says nothing of the next one: pairs are as frequent as chance has it."""
    rows = 3000
    pairs = sum(reservation(seed).holds(at) and reservation(seed).holds(at + 1) for seed in SEEDS for at in range(rows))
    expected = len(SEEDS) * rows * 0.01
    assert abs(pairs - expected) < 5 * math.sqrt(expected)


def test_a_larger_fraction_keeps_what_was_reserved() -> None:
    """Raising the fraction adds rows to the reserved ones, and another seed reserves others."""
    smaller, larger, other = (
        {at for at in range(9000) if reservation(s, f).holds(at)} for s, f in ((1, 0.1), (1, 0.2), (2, 0.1))
    )
    assert smaller < larger
    assert len(smaller & other) < len(smaller) / 5


def test_it_never_changes() -> None:
    """These rows are reserved in every version: what was held out once must stay so."""
    assert [at for at in range(1, 101) if reservation(0).holds(at)] == [15, 17, 33, 36, 50, 57, 62, 91]
    assert [at for at in range(1, 101) if reservation(7).holds(at)] == [
        1,
        12,
        13,
        14,
        20,
        21,
        25,
        36,
        44,
        55,
        63,
        67,
        73,
        80,
        95,
        97,
    ]
