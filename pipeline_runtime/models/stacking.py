"""Puts the rows of several questions under each other for one call, and takes the answer apart again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline_runtime.models.model_feed import Feed
from pipeline_runtime.models.onnx_model import OnnxModel
from pipeline_runtime.models.tensors import DTYPES, Array
from schemas.errors import BadPayload
from schemas.models import TensorSpec

Outputs = list[Any]
"""What a model gave, in the order of the names that it was asked for."""


_MANY = 16  # rows that are tried: a class may be the same by chance
_FEW = 4
_SLOW_S = 0.02


@dataclass(frozen=True, slots=True)
class Question:
    """What one message asks of a model."""

    feed: Feed
    rows: int
    form: tuple[tuple[int, ...], ...] | None  # the sizes of a row of each input; None: it cannot be stacked


def question_of(feed: Feed) -> Question:
    """The question with its rows counted: stackable when every input is an array with as many rows."""
    arrays = list(feed.values())
    if not all(isinstance(array, np.ndarray) and array.ndim for array in arrays):
        return Question(feed, 1, None)
    rows = {len(array) for array in arrays}
    return Question(feed, max(rows, default=1), tuple(array.shape[1:] for array in arrays) if len(rows) == 1 else None)


def first_batch(questions: Sequence[Question], max_rows: int) -> list[int]:
    """The places of the first question and of those that can be asked with it; one that has more rows goes alone."""
    places: list[int] = []
    rows = 0
    for place, question in enumerate(questions):
        fits = question.form is not None and question.form == questions[0].form and rows + question.rows <= max_rows
        if fits or not places:
            places.append(place)
            rows += question.rows
    return places


def stack(questions: Sequence[Question]) -> Feed:
    """All rows of questions of the same form, in their order."""
    return {name: np.concatenate([question.feed[name] for question in questions]) for name in questions[0].feed}


def take_apart(outputs: Outputs, questions: Sequence[Question]) -> list[Outputs]:
    """Each question's part of the answer to all.

    Raises:
        BadPayload: an output has not one row for each row that was asked about.
    """
    rows = sum(question.rows for question in questions)
    if not all(isinstance(output, list) or (isinstance(output, np.ndarray) and output.ndim) for output in outputs):
        raise BadPayload("the model's answer has no rows")
    if any(len(output) != rows for output in outputs):
        raise BadPayload(f"the model gave {[len(output) for output in outputs]} rows for {rows}")
    parts, first = [], 0
    for question in questions:
        parts.append([output[first : first + question.rows] for output in outputs])
        first += question.rows
    return parts


def answers_rows_apart(model: OnnxModel, outputs: Sequence[str]) -> bool:
    """Whether a row's answer is the same with another row beside it: tried with rows of random values.

    The first axis may also be time, or the model may compare its rows with each other: then it must be asked for one
    message at a time.
    """
    inputs = model.signature.inputs
    if not inputs or not all(_is_open(spec) for spec in inputs):
        return False
    random = np.random.default_rng(7)
    count = _FEW if model.usual_s > _SLOW_S else _MANY
    questions = [question_of({spec.name: _random_row(spec, random) for spec in inputs}) for _ in range(count)]
    try:
        together = take_apart(model.ask(stack(questions), outputs), questions)
        return all(
            _same(part, one)
            for question, parts in zip(questions, together, strict=True)
            for part, one in zip(parts, model.ask(question.feed, outputs), strict=True)
        )
    except BadPayload:  # not for several rows, or not for values like these
        return False


def _is_open(spec: TensorSpec) -> bool:
    return spec.dtype in DTYPES and bool(spec.shape) and not isinstance(spec.shape[0], int)


def _random_row(spec: TensorSpec, random: np.random.Generator) -> Array:
    shape = [1, *(size if isinstance(size, int) else 1 for size in spec.shape[1:])]
    dtype = np.dtype(DTYPES[spec.dtype])
    if dtype.kind == "f":
        return random.normal(size=shape).astype(dtype)
    if dtype.kind == "O":
        return random.choice(np.array(["a", "b"], object), shape)
    return random.integers(0, 2, shape).astype(dtype)  # an index, or a mask: small, so that it points at something


def _same(one: object, other: object) -> bool:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray) and one.dtype.kind == "O":
        return bool(one.tolist() == other.tolist())
    number = float | np.ndarray | np.generic
    if isinstance(one, number) and isinstance(other, number):
        # Sums of a batch may be added up in another order: what differs in the last digits is the same.
        return np.shape(one) == np.shape(other) and bool(np.allclose(one, other, 1e-3, 1e-4, equal_nan=True))
    return one == other
