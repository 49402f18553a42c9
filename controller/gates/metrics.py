"""Metrics by name, the only home of scikit-learn: https://scikit-learn.org/stable/modules/model_evaluation.html."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Metric:
    """How a model's answers are judged."""

    needs: Literal["labels", "scores", "numbers"]  # what of the answers
    compute: Callable[[Array, Array], float]  # of what is right and what was answered; raises ValueError if it cannot


def _roc_auc(right: Array, scores: Array) -> float:
    """Of the second of two classes, or of each against the rest; ``right`` are columns of ``scores``."""
    if scores.shape[1] == 2:
        return float(sk.roc_auc_score(right, scores[:, 1]))
    return float(sk.roc_auc_score(right, scores, multi_class="ovr", average="macro", labels=np.arange(scores.shape[1])))


def _log_loss(right: Array, scores: Array) -> float:
    return float(sk.log_loss(right, scores, labels=np.arange(scores.shape[1])))


METRICS: Mapping[str, Metric] = {
    "accuracy": Metric("labels", sk.accuracy_score),
    "balanced_accuracy": Metric("labels", sk.balanced_accuracy_score),
    "f1_macro": Metric("labels", lambda y, p: float(sk.f1_score(y, p, average="macro", zero_division=0))),
    "f1_weighted": Metric("labels", lambda y, p: float(sk.f1_score(y, p, average="weighted", zero_division=0))),
    "precision_macro": Metric("labels", lambda y, p: float(sk.precision_score(y, p, average="macro", zero_division=0))),
    "recall_macro": Metric("labels", lambda y, p: float(sk.recall_score(y, p, average="macro", zero_division=0))),
    "roc_auc": Metric("scores", _roc_auc),
    "log_loss": Metric("scores", _log_loss),
    "mae": Metric("numbers", sk.mean_absolute_error),
    "mape": Metric("numbers", sk.mean_absolute_percentage_error),
    "r2": Metric("numbers", sk.r2_score),
    "rmse": Metric("numbers", sk.root_mean_squared_error),
}
