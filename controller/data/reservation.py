"""Which rows are reserved: a hash of a row's position, computed by the database in integers alone. Pure.

The hash is (a·position + b)⁵ modulo the prime 2³¹ - 1, with a and b drawn by the seed. No product reaches 2⁶³, so
SQLite and PostgreSQL agree; 5 divides no factor of 2³¹ - 2, so no two positions below the prime share a value; and the
power breaks up what a line would leave of a pattern in the positions, such as every tenth row.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

_PRIME = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Reservation:
    """A share of some collections' rows, the same for ever: it depends on ``seed`` and position alone."""

    collections: Collection[str]
    fraction: float
    seed: int

    def condition(self, collection: str, *, reserved: bool) -> str:
        """The SQL that is true for rows that are reserved, or for those that are not; empty if it reserves none."""
        if collection not in self.collections:
            return ""
        factor, summand = self._drawn()
        line = f"(((position % {_PRIME}) * {factor} + {summand}) % {_PRIME})"
        square = f"(({line} * {line}) % {_PRIME})"
        power = f"(((({square} * {square}) % {_PRIME}) * {line}) % {_PRIME})"
        return f"{power} {'<' if reserved else '>='} {self._threshold}"

    def holds(self, position: int) -> bool:
        """Whether a row is reserved: what the SQL computes."""
        factor, summand = self._drawn()
        return pow(position % _PRIME * factor + summand, 5, _PRIME) < self._threshold

    @property
    def _threshold(self) -> int:
        return round(self.fraction * _PRIME)

    def _drawn(self) -> tuple[int, int]:
        drawn = hashlib.sha256(f"holdout {self.seed}".encode()).digest()
        return int.from_bytes(drawn[:4], "big") % (_PRIME - 1) + 1, int.from_bytes(drawn[4:8], "big") % _PRIME
