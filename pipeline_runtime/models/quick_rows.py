"""The quick way for the usual question: one row of numbers, written straight into an array that the model reads.

What does not look quite usual is left to the slower way, which tells what is wrong with it.
"""

import struct
from collections.abc import Callable, Sequence
from functools import partial
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
        packer = struct.Struct(f"={width}{_FORMATS[dtype.str[1:]]}")
        self._types = _FLOATS if dtype.kind == "f" else _WHOLE
        self._pack, self._pack_into = packer.pack, packer.pack_into
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

    def packed(self, values: Sequence[Any]) -> dict[int, bytes]:
        """The rows of these values for ``ask_many``, by place; those that are not of the usual kind are left out."""
        take, pack, usual = self._take, self._pack, self._types.issuperset
        rows: dict[int, bytes] = {}
        for place, value in enumerate(values):
            try:
                row = take(value)
                if usual(map(type, row)):
                    rows[place] = pack(*row)
            except _UNUSUAL:
                continue
        return rows

    def ask_many(self, rows: Sequence[bytes]) -> Array:
        """The output for these rows, a row each. Raises BadPayload."""
        array = np.frombuffer(b"".join(rows), self._dtype).reshape(len(rows), *self._row)
        (answer,) = self._model.ask({self._input: array}, [self._output])
        return answer  # type: ignore[no-any-return] # of a model that gave an array for one row


def quick_rows(model: OnnxModel, output: str, features: Sequence[str] | None) -> QuickRows | None:
    """The quick way, if this model has one: a single input of rows of numbers, and an output of numbers."""
    bound = model.bind(output)
    if bound is None or bound.given.ndim < 2 or bound.given.size > _MOST or bound.given.dtype.str[1:] not in _FORMATS:
        return None
    if features is None:
        take_row = _only_row if bound.given.ndim == 2 else partial(_flat, bound.given.shape)
        return QuickRows(model, bound, output, take_row)
    if bound.given.shape != (1, len(features)):
        return None
    take = itemgetter(*features)
    return QuickRows(model, bound, output, take if len(features) > 1 else lambda value: (take(value),))


def _only_row(value: Any) -> Sequence[Any]:  # noqa: ANN401 - whatever came
    if type(value) is not list:
        raise TypeError(value)
    (row,) = value
    if type(row) is not list:
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
