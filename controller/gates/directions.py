"""Which way each metric is better, for those who must not wait for scikit-learn to be imported."""

from collections.abc import Mapping

from schemas.gates import MetricName

HIGHER_IS_BETTER: Mapping[MetricName, bool] = {
    "accuracy": True,
    "balanced_accuracy": True,
    "f1_macro": True,
    "f1_weighted": True,
    "precision_macro": True,
    "recall_macro": True,
    "roc_auc": True,
    "log_loss": False,
    "mae": False,
    "mape": False,
    "r2": True,
    "rmse": False,
}
