"""What a model node makes of a model's outputs: which of them, and names and the best few instead of numbers."""

from collections.abc import Callable, Mapping, Sequence
from heapq import nlargest
from typing import Any

import numpy as np

from pipeline_runtime.models.onnx_values import to_json
from pipeline_runtime.models.tensors import Array, shape_text
from schemas.errors import BadInput, BadPayload
from schemas.models import TensorSpec

Labels = Mapping[int, str]
"""By the class's index its name."""

Write = Callable[[Any], object]
"""Turns one output into what JSON has a form for. Raises BadPayload."""

_WHOLE = frozenset(f"tensor({kind}{bits})" for kind in ("int", "uint") for bits in (8, 16, 32, 64))
_SCORES = frozenset(("tensor(float)", "tensor(double)", "tensor(float16)", "tensor(bfloat16)"))


def _chosen(outputs: Sequence[TensorSpec], names: Sequence[str] | None) -> tuple[TensorSpec, ...]:
    """The outputs of these names; the first one if none are named. Raises BadInput."""
    by_name = {spec.name: spec for spec in outputs}
    if unknown := [name for name in names or () if name not in by_name]:
        raise BadInput(f"`outputs`: the model has no output {unknown[0]!r}; it has {', '.join(by_name)}")
    return tuple(by_name[name] for name in names) if names else tuple(outputs[:1])


class Answer:
    """Writes the chosen outputs: one as it is, several as an object with their names."""

    def __init__(
        self, there: Sequence[TensorSpec], names: Sequence[str] | None, labels: Labels | None, top: int | None
    ) -> None:
        """Choose among the outputs that are there.

        Raises:
            BadInput: there is no such output, or none of the chosen that labels, or the best few, could be told of.
        """
        outputs = _chosen(there, names)
        if top is not None and not any(_has_scores(spec, labels) for spec in outputs):
            raise BadInput(_no_scores(outputs, there, labels))
        self.names = [spec.name for spec in outputs]
        self.writers = [_writer(spec, labels, top) for spec in outputs]
        if labels is not None and all(writer is to_json for writer in self.writers):
            raise BadInput(
                f"`labels` needs class numbers or a score for each label; the outputs are {_listed(outputs)}"
            )

    def write(self, results: Sequence[Any]) -> object:
        """The node's result, of the model's outputs in the order of ``names``."""
        if len(results) == 1:
            return self.writers[0](results[0])
        return {name: write(one) for name, write, one in zip(self.names, self.writers, results, strict=True)}

    def write_rows(self, rows: Array) -> Sequence[object]:
        """What ``write`` would give for each row of the only output. Raises BadPayload when it would for one."""
        if self.writers[0] is to_json:
            return rows.reshape(len(rows), 1, *rows.shape[1:]).tolist()  # type: ignore[no-any-return] # a list of lists
        written = self.writers[0](rows)
        return [[row] for row in written] if isinstance(written, list) else []


def _writer(spec: TensorSpec, labels: Labels | None, top: int | None) -> Write:
    if labels is None and top is None:
        return to_json
    if spec.dtype in _WHOLE and labels is not None:
        return lambda classes: _named(classes.tolist(), labels)
    if not _has_scores(spec, labels):
        return to_json
    if spec.dtype in _SCORES:
        return lambda scores: _scored(scores, labels, top)
    return lambda maps: _of_maps(maps, labels, top)


def _no_scores(outputs: Sequence[TensorSpec], there: Sequence[TensorSpec], labels: Labels | None) -> str:
    """Why there is no best of these outputs, and which of the others to name instead."""
    needed = "a score for each class" if labels is None else f"a score for each of the {len(labels)} labels"
    better = [spec.name for spec in there if _has_scores(spec, labels)]
    advice = f"name the output that has them: `outputs: [{better[0]}]`" if better else "no output of the model has them"
    return f"`top` needs {needed}; the outputs are {_listed(outputs)}; {advice}"


def _listed(outputs: Sequence[TensorSpec]) -> str:
    return ", ".join(f"{spec.name} ({spec.dtype} {shape_text(spec)})" for spec in outputs)


def _has_scores(spec: TensorSpec, labels: Labels | None) -> bool:
    """Whether it may have a score for each class: a map, or an axis; an only axis of any length is that of the rows."""
    if "map(" in spec.dtype:
        return True
    if spec.dtype not in _SCORES:
        return False
    size = spec.shape[-1] if spec.shape else None
    if not isinstance(size, int):
        return len(spec.shape) > 1
    return labels is None or size == len(labels)


def _named(classes: object, labels: Labels) -> object:
    if isinstance(classes, list):
        return [_named(one, labels) for one in classes]
    return _name(classes, labels)


def _name(index: object, labels: Labels) -> str:
    if not isinstance(index, int) or index not in labels:
        raise BadPayload(f"the model gave class {index}, and there are labels for {', '.join(map(str, labels))}")
    return labels[index]


def _scored(scores: Array, labels: Labels | None, top: int | None) -> object:
    """Of the last axis an object {label: score}, or the best few as [{label, score}, …]."""
    if scores.ndim > 1:
        return [_scored(part, labels, top) for part in scores]
    if labels is not None and scores.size != len(labels):
        raise BadPayload(f"the model gave {scores.size} scores, and there are {len(labels)} labels")
    if top is None:
        return {_name(index, labels or {}): score for index, score in enumerate(scores.tolist())}
    best = np.argsort(-scores.astype(np.float64), kind="stable")[:top].tolist()  # of equal ones the first
    return [
        {"label": _name(index, labels) if labels is not None else index, "score": scores[index].item()}
        for index in best
    ]


def _of_maps(maps: object, labels: Labels | None, top: int | None) -> object:
    """As ``_scored``, of what a classifier's ZipMap gave; its keys are the labels, or their indices."""
    if isinstance(maps, list):
        return [_of_maps(one, labels, top) for one in maps]
    if not isinstance(maps, Mapping):
        return to_json(maps)
    named = {_name(key, labels) if labels is not None and isinstance(key, int) else key: maps[key] for key in maps}
    if top is None:
        return to_json(named)
    return [{"label": key, "score": to_json(named[key])} for key in nlargest(top, named, key=named.__getitem__)]
