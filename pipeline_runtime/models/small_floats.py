"""Floating-point numbers of 16 and 8 bits that numpy does not have, as the bits that ONNX Runtime takes and gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from schemas.errors import BadPayload

Floats = NDArray[np.float32]
Bits = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True)
class SmallFloat:
    """One such type: a sign, some bits of exponent, and the others of fraction."""

    onnx_type: int  # its number in ONNX's TensorProto.DataType
    bits: int
    exponent: int  # bits of it
    bias: int
    infinite: bool = False  # the largest exponent means infinite and NaN, as in IEEE 754
    one_zero: bool = False  # what would be minus zero is the only NaN

    @property
    def storage(self) -> type[np.unsignedinteger]:
        """What numpy keeps the bits in."""
        return np.uint16 if self.bits == 16 else np.uint8

    def decode(self, bits: Bits) -> Floats:
        """The numbers that these bits are."""
        return self._values[bits]

    def encode(self, numbers: Floats) -> Bits:
        """The bits of the nearest numbers; of two that are as near, the even ones.

        Raises:
            BadPayload: a number is larger than all that the type has.
        """
        values, codes = self._ordered
        magnitude = np.abs(numbers)
        above = np.searchsorted(values, magnitude).clip(1, len(values) - 1)
        low, high = magnitude - values[above - 1], values[above] - magnitude
        nearest = np.where((low < high) | ((low == high) & (codes[above - 1] % 2 == 0)), codes[above - 1], codes[above])
        special = ~np.isfinite(numbers)
        if (magnitude[~special] > values[-1]).any() or (not self.infinite and np.isinf(numbers).any()):
            raise BadPayload(f"the model's type goes to {values[-1]:g}, and cannot hold a number that it was given")
        negative = np.signbit(numbers) & ~((nearest == 0) & self.one_zero)
        encoded = nearest + negative * (1 << (self.bits - 1))
        if special.any():
            encoded[special] = [self._special(number) for number in numbers[special]]
        bits: Bits = np.asarray(encoded, self.storage)  # of a single number too
        return bits

    def _special(self, number: np.float32) -> int:
        same = np.isnan(self._values) if np.isnan(number) else self._values == number
        return int(np.flatnonzero(same)[0])

    @cached_property
    def _values(self) -> Floats:
        """The number that each pattern of bits is."""
        patterns = np.arange(1 << self.bits)
        fraction = self.bits - 1 - self.exponent
        sign = np.where(patterns >> (self.bits - 1), -1.0, 1.0)
        exponents = (patterns >> fraction) & ((1 << self.exponent) - 1)
        fractions = (patterns & ((1 << fraction) - 1)) / (1 << fraction)
        normal = exponents > 0
        values = sign * (fractions + normal) * 2.0 ** (np.where(normal, exponents, 1) - self.bias)
        largest = exponents == (1 << self.exponent) - 1
        if self.infinite:
            values[largest] = np.where(fractions[largest] == 0, sign[largest] * np.inf, np.nan)
        elif self.one_zero:
            values[1 << (self.bits - 1)] = np.nan
        else:
            values[largest & (fractions == 1 - 2.0**-fraction)] = np.nan
        return values.astype(np.float32)

    @cached_property
    def _ordered(self) -> tuple[Floats, NDArray[np.int64]]:
        """The numbers from zero up, and their bits."""
        values = self._values[: 1 << (self.bits - 1)]
        codes = np.flatnonzero(np.isfinite(values))
        return values[codes], codes


SMALL_FLOATS: Mapping[str, SmallFloat] = {
    "tensor(bfloat16)": SmallFloat(16, 16, exponent=8, bias=127, infinite=True),
    "tensor(float8e4m3fn)": SmallFloat(17, 8, exponent=4, bias=7),
    "tensor(float8e4m3fnuz)": SmallFloat(18, 8, exponent=4, bias=8, one_zero=True),
    "tensor(float8e5m2)": SmallFloat(19, 8, exponent=5, bias=15, infinite=True),
    "tensor(float8e5m2fnuz)": SmallFloat(20, 8, exponent=5, bias=16, one_zero=True),
}
"""By the name of the tensor's type."""
