"""What a model answers to rows, as metrics take it: labels, a score for each class, or numbers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline_runtime.models.model_feed import feed_by_features
from pipeline_runtime.models.onnx_model import OnnxModel
from pipeline_runtime.models.onnx_values import to_json
from schemas.errors import BadInput, BadPayload
from schemas.models import TensorSpec

Array = NDArray[Any]
Needs = Literal["labels", "scores", "numbers"]
AT_ONCE = 512  # rows in one call


class Predictor:
    """A model that is asked about rows."""

    def __init__(self, model: OnnxModel, features: Sequence[str], output: str | None, labels: Path | None) -> None:
        """Raises BadInput when the features do not fit its inputs, or it has no such output."""
        self._model, self._output = model, output
        self._feed = feed_by_features(model.signature.inputs, features)
        self._labels: list[str] = json.loads(labels.read_bytes()) if labels else []
        names = [spec.name for spec in model.signature.outputs]
        if output is not None and output not in names:
            raise BadInput(f"the model has no output {output!r}; it has {', '.join(names)}")

    def answers(self, rows: Sequence[Mapping[str, object]], needs: Needs) -> Array | list[Any]:
        """One for each row. Raises BadPayload when it fails on some."""
        spec = self._chosen(needs)
        fixed = all(isinstance(one.shape[0], int) for one in self._model.signature.inputs if one.shape)
        step = 1 if fixed else AT_ONCE
        found: list[Any] = []
        for start in range(0, len(rows), step):
            part = list(rows[start : start + step])
            (given,) = self._model.ask(self._feed(part), [spec.name])
            answered = to_json(given)
            if not isinstance(answered, list) or len(answered) != len(part):
                raise BadPayload(f"output {spec.name!r} does not give one answer for each row")
            found += answered
        return self._shaped(found, needs)

    def _chosen(self, needs: Needs) -> TensorSpec:
        outputs = self._model.signature.outputs
        if self._output is not None:
            return next(spec for spec in outputs if spec.name == self._output)
        labels = [spec for spec in outputs if "float" not in spec.dtype and "double" not in spec.dtype]
        floats = [spec for spec in outputs if spec not in labels or spec.dtype.startswith("seq(map")]
        wanted = labels if needs == "labels" and labels and not labels[0].dtype.startswith("seq") else floats
        return (wanted or list(outputs))[0]

    def _shaped(self, found: list[Any], needs: Needs) -> Array | list[Any]:
        if needs == "numbers":
            return np.asarray(found, np.float64).reshape(len(found), -1)[:, 0]
        if needs == "scores":
            return np.array([_scores(one) for one in found], np.float64)
        return [self._label(one) for one in found]

    def _label(self, answer: object) -> str:
        if isinstance(answer, Mapping):
            scored: Mapping[object, float] = answer
            answer = max(scored, key=lambda name: scored[name])
        elif isinstance(answer, list):
            numbers = np.asarray(answer, np.float64).ravel()
            index = int(numbers.argmax()) if numbers.size > 1 else int(numbers[0])
            return self._labels[index] if index < len(self._labels) else str(index)
        return self._labels[answer] if isinstance(answer, int) and answer < len(self._labels) else label(answer)

    def class_names(self, rows: Sequence[Mapping[str, object]]) -> list[str]:
        """What the columns of scores stand for."""
        spec = self._chosen("scores")
        (given,) = self._model.ask(self._feed(list(rows[:1])), [spec.name])
        answer = to_json(given)
        first = answer[0] if isinstance(answer, list) and answer else answer
        if isinstance(first, Mapping):
            return [label(name) for name in first]
        count = np.asarray(first, np.float64).size
        if len(self._labels) == count:
            return self._labels
        return self._said_beside(rows, count) or [str(index) for index in range(count)]

    def _said_beside(self, rows: Sequence[Mapping[str, object]], count: int) -> list[str]:
        """The classes by the labels that the model gives beside its scores; empty if these do not tell all."""
        scores = np.asarray(self.answers(rows, "scores"))
        found = {
            int(best): name for best, name in zip(scores.argmax(axis=1), self.answers(rows, "labels"), strict=True)
        }
        return [found[index] for index in range(count)] if len(found) == count else []


def _scores(answer: object) -> list[float]:
    values = list(answer.values()) if isinstance(answer, Mapping) else answer
    numbers = [float(one) for one in np.asarray(values, np.float64).ravel()]
    return [1 - numbers[0], numbers[0]] if len(numbers) == 1 else numbers


def label(value: object) -> str:
    """A class as text, the same whether it is written 1, 1.0 or true."""
    if isinstance(value, bool | int) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    return str(value)
