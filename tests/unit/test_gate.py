"""Whether a new version becomes the champion."""

import pytest

from controller.runs.gate import judge
from schemas.jobs import JobSpec


def job(better: str = "higher", **gate: object) -> JobSpec:
    """A job with one metric and this gate."""
    return JobSpec.model_validate(
        {
            "name": "retrain",
            "model": "iris",
            "edge": "press-1",
            "scripts": ["train.py"],
            "metrics": [{"name": "score", "better": better}],
            "gate": gate,
        }
    )


def test_the_first_version_is_promoted() -> None:
    """With nothing in use yet, any version is better than none."""
    assert judge(job(metric="score"), 1, {"score": 0.1}, None).promoted


def test_a_person_may_keep_the_decision() -> None:
    """With the manual policy nothing is promoted by itself, not even the first."""
    verdict = judge(job(policy="manual"), 1, {"score": 0.9}, None)
    assert not verdict.promoted
    assert "left to a person" in verdict.reason


@pytest.mark.parametrize(
    ("better", "new", "old", "promoted"),
    [
        ("higher", 0.91, 0.90, True),
        ("higher", 0.88, 0.90, True),  # within the tolerance
        ("higher", 0.80, 0.90, False),
        ("lower", 0.80, 0.90, True),
        ("lower", 1.00, 0.90, False),
    ],
)
def test_the_metric_decides_in_its_own_direction(better: str, new: float, old: float, promoted: bool) -> None:
    """A version that is worse by more than the tolerance stays out of use, and the reason has both numbers."""
    verdict = judge(job(better, metric="score", tolerance=0.05), 4, {"score": new}, (3, {"score": old}))
    assert verdict.promoted is promoted
    assert f"{new:.4g}" in verdict.reason
    assert f"{old:.4g}" in verdict.reason
