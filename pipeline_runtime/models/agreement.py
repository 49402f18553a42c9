"""Whether two answers are the same, up to a tolerance in their numbers; and counts of how often they were."""

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(slots=True)
class Agreement:
    """How a model did beside the one that answers."""

    agreed: int = 0
    disagreed: int = 0
    failed: int = 0  # the shadow gave no answer
    missed: int = 0  # not asked: too many questions waited already
    total_s: float = 0.0  # from each question to its answer
    longest_s: float = 0.0

    @property
    def mean_s(self) -> float:
        """From a question to its answer."""
        return self.total_s / max(self.agreed + self.disagreed, 1)

    def compared(self, took_s: float, *, agree: bool) -> None:
        """The shadow answered."""
        self.agreed += agree
        self.disagreed += not agree
        self.total_s += took_s
        self.longest_s = max(self.longest_s, took_s)


def agree(one: object, other: object, tolerance: float) -> bool:
    """Whether two JSON values are the same; numbers may differ by the tolerance, or by that part of the larger one.

    Two whole numbers are the same or they are not.
    """
    if isinstance(one, Mapping):
        return (
            isinstance(other, Mapping)
            and one.keys() == other.keys()
            and all(agree(one[key], other[key], tolerance) for key in one)
        )
    if isinstance(one, list | tuple):
        return (
            isinstance(other, list | tuple)
            and len(one) == len(other)
            and all(agree(part, beside, tolerance) for part, beside in zip(one, other, strict=True))
        )
    if type(one) is type(other) and not isinstance(one, float):
        return one == other  # whole numbers too: those of two classes are near each other, and not the same
    if isinstance(one, int | float) and isinstance(other, int | float) and bool not in {type(one), type(other)}:
        both_nan = math.isnan(one) and math.isnan(other)
        return both_nan or math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)
    return False
