"""The quick way for the usual question: one row of numbers, written straight into an array that the model reads.

What does not look quite usual is left to the slower way, which tells what is wrong with it.
"""

import struct
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from pipeline_runtime.models.bound_row import BoundRow
from pipeline_runtime.models.onnx_model import OnnxModel
from pipeline_runtime.models.tensors import Array

_FORMATS = {"f4": "f", "f8": "d", "f2": "e", "i1": "b", "i2": "h", "i4": "i", "i8": "q"} | {
    "u1": "B",
    "u2": "H",
    "u4": "I",
    "u8": "Q",
}
_MOST = 4096  # numbers in a row; numpy is quicker with more of them
_MANY = 256  # numbers, of which numpy is quicker to look for zeros and ones
_FLOATS = frozenset((float, int))
_WHOLE = frozenset((int,))
_UNUSUAL = (LookupError, TypeError, ValueError, ArithmeticError, struct.error)
"""What a row may raise that is not of the usual kind."""


class QuickRows:
    """Packs rows for a model that takes one row of numbers, and asks for one output."""

    def __init__(self, model: OnnxModel, bound: BoundRow, output: str, take: Callable[[Any], Sequence[Any]]) -> None:
        self.answer: Array = bound.answer
        self.ask_one = bound.ask
        self._model, self._output, self._take = model, output, take
        self._input = model.signature.inputs[0].name
        dtype, width = bound.given.dtype, bound.given.size
        self._types = _FLOATS if dtype.kind == "f" else _WHOLE
        self._format = _FORMATS[dtype.str[1:]]
        self._pack_into = struct.Struct(f"={width}{self._format}").pack_into
        self._dtype, self._row, self._one = dtype, bound.given.shape[1:], bound.given.data.cast("B")

    def put(self, value: Any) -> bool:  # noqa: ANN401 - whatever came
        """Make the row of this value the one that ``ask_one`` asks about, unless it is not of the usual kind."""
        try:
            row = self._take(value)
            if not self._types.issuperset(map(type, row)):
                return False
            self._pack_into(self._one, 0, *row)
        except _UNUSUAL:
            return False
        return True

    def packed(self, values: Sequence[Any]) -> Array | None:
        """The rows of these values for ``ask_many``; None if one of them is not of the usual kind."""
        try:
            numbers = list(chain.from_iterable(map(self._take, values)))
            packed = struct.pack(f"={len(numbers)}{self._format}", *numbers)
            rows = np.frombuffer(packed, self._dtype).reshape(len(values), *self._row)
        except _UNUSUAL:
            return None
        # True and False are numbers to `struct`; to look at the types of many takes longer than all the rest.
        if len(numbers) < _MANY or ((rows == 0) | (rows == 1)).any():
            return rows if self._types.issuperset(map(type, numbers)) else None
        return rows

    def ask_many(self, rows: Array) -> Array:
        """The output for these rows, a row each. Raises BadPayload."""
        (answer,) = self._model.ask({self._input: rows}, [self._output])
        return answer  # type: ignore[no-any-return] # of a model that gave an array for one row


def quick_rows(model: OnnxModel, output: str, features: Sequence[str] | None) -> QuickRows | None:
    """The quick way, if this model has one: a single input of rows of numbers, and an output of numbers."""
    bound = model.bind(output)
    if bound is None or bound.given.ndim < 2 or bound.given.size > _MOST or bound.given.dtype.str[1:] not in _FORMATS:
        return None
    if features is None:
        take_row = partial(_only_row if bound.given.ndim == 2 else _flat, bound.given.shape)
        return QuickRows(model, bound, output, take_row)
    if bound.given.shape != (1, len(features)):
        return None
    take = itemgetter(*features)
    return QuickRows(model, bound, output, take if len(features) > 1 else lambda value: (take(value),))


def _only_row(shape: Sequence[int], value: Any) -> Sequence[Any]:  # noqa: ANN401 - whatever came
    if type(value) is not list:
        raise TypeError(value)
    (row,) = value
    if type(row) is not list or len(row) != shape[1]:
        raise TypeError(row)
    return row


def _flat(shape: Sequence[int], value: Any) -> Sequence[Any]:  # noqa: ANN401 - whatever came
    """The numbers of nested lists of that shape, one after the other."""
    level = [value]
    for size in shape:
        inner: list[Any] = []
        for part in level:
            if type(part) is not list or len(part) != size:
                raise TypeError(part)
            inner += part
        level = inner
    return level
