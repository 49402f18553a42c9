"""Whether a new version becomes the champion."""

import math
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from pydantic import ValidationError

from controller.gates.checks import Case
from controller.gates.judging import judge as judge_case
from controller.gates.scoring_task import Scores
from schemas.fleet import ModelSpec
from schemas.gates import Gate, GateResult, PendingTrial, Trial
from schemas.jobs import JobSpec
from schemas.models import MODEL_FILE, Lineage, ModelVersion, Signature
from schemas.names import BlobRef

FILE = BlobRef(digest=f"sha256:{'0' * 64}", size_bytes=1)


def judge(job: JobSpec, new: ModelVersion, champion: ModelVersion | None, scores: Scores | None = None) -> GateResult:
    """What the gate says."""
    assert job.gate is not None
    better = job.better.get(job.gate.metric or "", "higher")
    case = Case(job.gate, new, champion, scores, updates=job.update_existing, better=better)
    return judge_case(case, datetime(2026, 11, 20, tzinfo=UTC))


def job(better: str = "higher", *, update_existing: bool = True, **gate: object) -> JobSpec:
    """A job with one optional metric and this gate."""
    return JobSpec.model_validate(
        {
            "name": "retrain",
            "model": "iris",
            "edge": "press-1",
            "scripts": ["train.py"],
            "update_existing": update_existing,
            "metrics": [{"name": "score", "better": better, "required": False}],
            "gate": gate,
        }
    )


def card(version: int, *, lineage: Lineage | None = None, **metrics: float) -> ModelVersion:
    """A version with these metrics."""
    return ModelVersion(
        name="iris",
        version=version,
        files={MODEL_FILE: FILE},
        signature=Signature(inputs=(), outputs=()),
        metrics=metrics,
        lineage=lineage or Lineage(run_id=uuid4()),
        created_at=datetime(2026, 11, 20, tzinfo=UTC),
    )


def test_the_first_version_is_promoted() -> None:
    """With nothing in use yet, any version is better than none, also one without the number that decides."""
    assert judge(job(metric="score"), card(1, score=0.1), None).decision == "promote"
    assert judge(job(metric="score"), card(1), None).decision == "promote"


def test_a_person_may_keep_the_decision() -> None:
    """With the manual policy nothing is promoted by itself, not even the first."""
    verdict = judge(job(policy="manual"), card(1, score=0.9), None)
    assert verdict.decision != "promote"
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
    verdict = judge(job(better, metric="score", tolerance=0.05), card(4, score=new), card(3, score=old))
    assert verdict.decision == ("promote" if promoted else "hold")
    assert f"{new:.4g}" in verdict.reason
    assert f"{old:.4g}" in verdict.reason


@pytest.mark.parametrize("metrics", [{}, {"score": math.nan}, {"other": 0.99}])
def test_a_version_without_the_number_that_decides_replaces_none(metrics: dict[str, float]) -> None:
    """Where the gate's metric is optional and missing, the version in use stays, and the reason says why."""
    without = card(4).model_copy(update={"metrics": metrics})
    verdict = judge(job(metric="score"), without, card(3, score=0.5))
    assert verdict.decision != "promote"
    assert verdict.reason == "version 4 of iris is registered but not in use: its run gave no score, which decides"


def test_a_version_in_use_without_the_number_gives_way() -> None:
    """What cannot be compared with is replaced, as a champion from before the metric was declared."""
    verdict = judge(job(metric="score"), card(4, score=0.1), card(3))
    assert verdict.decision == "promote"
    assert "version 3 has no score" in verdict.reason


def test_a_reproduction_is_never_promoted() -> None:
    """What only shows what an earlier run gave replaces nothing, even as the first of its kind."""
    again = card(4, lineage=Lineage(reproduces=uuid4()), score=0.99)
    assert judge(job(metric="score"), again, card(3, score=0.5)).decision != "promote"
    assert judge(job(), again, None).decision != "promote"


def test_a_model_of_its_own_is_its_own_champion() -> None:
    """A job that makes new models leaves nothing to compare with or to decide, so each is in use from the start."""
    assert judge(job(update_existing=False, policy="manual"), card(1), None).decision == "promote"


def test_the_gate_of_a_model_judges_what_is_uploaded() -> None:
    """Nobody ran it, so the words are others; which way its number is better, the gate says itself."""
    gate = ModelSpec.model_validate({"name": "iris", "gate": {"metric": "rmse"}}).gate
    assert gate is not None
    uploaded = [card(number, lineage=Lineage(), rmse=value) for number, value in ((3, 0.5), (4, 0.7))]
    now = datetime(2026, 11, 20, tzinfo=UTC)
    worse = judge_case(Case(gate, uploaded[1], uploaded[0], better=gate.better or "higher"), now)
    assert (worse.decision, "rmse 0.7 against 0.5 of version 3" in worse.reason) == ("hold", True)
    without = judge_case(Case(gate, card(4, lineage=Lineage()), uploaded[0], better="lower"), now)
    assert (
        without.reason == "version 4 of iris is registered but not in use: it was uploaded without rmse, which decides"
    )


def test_without_rows_nothing_is_told() -> None:
    """A rescore of a model of which no version has a holdout holds even the first one, and says why."""
    gate = Gate.model_validate({"rescore": {"metric": "rmse", "target": "y"}})
    for champion in (None, card(3)):
        verdict = judge_case(Case(gate, card(4), champion, Scores()), datetime(2026, 11, 20, tzinfo=UTC))
        assert verdict.decision == "hold"
        assert "rmse could not be told: no version of its model has a holdout" in verdict.reason


def test_what_is_better_is_known_or_said() -> None:
    """Of numbers that everybody knows; of others a model's gate has to say it, and a job's may not contradict."""
    gates = [
        ModelSpec.model_validate({"name": "iris", "gate": gate}).gate
        for gate in ({"metric": "mae"}, {"metric": "f1_macro"}, {"metric": "wear", "better": "lower"}, {}, None)
    ]
    assert [gate and gate.better for gate in gates] == ["lower", "higher", "lower", None, None]
    with pytest.raises(ValidationError, match="`better` has to say whether wear is better when higher or lower"):
        ModelSpec.model_validate({"name": "iris", "gate": {"metric": "wear"}})
    with pytest.raises(ValidationError, match="there is no metric"):
        Gate(better="lower")
    with pytest.raises(ValidationError, match="better: score is better when lower, but the job says higher"):
        JobSpec.model_validate({**job().model_dump(), "gate": {"metric": "score", "better": "lower"}})


def test_a_job_without_a_gate_stays_one() -> None:
    """Written down and read again, it still has none: its model's may judge its versions."""
    without = job().model_copy(update={"gate": None})
    assert JobSpec.model_validate_json(without.model_dump_json()).gate is None
    assert JobSpec.model_validate_json(job().model_dump_json()).gate == Gate()


def test_what_has_passed_everything_else_is_tried_beside_the_champion() -> None:
    """It is held until then, and the result says what is still to be shown; nothing else is tried."""
    trial = {"messages": 50, "disagreement": 0.1}
    held = judge(job(metric="score", trial=trial), card(2, score=0.9), card(1, score=0.8))
    assert (held.decision, held.champion) == ("hold", 1)
    assert held.trial == PendingTrial(asks=Trial(messages=50, disagreement=0.1))
    assert held.reason.endswith("50 messages have to be asked of iris@candidate by the shadow of a deployment")
    later = judge(job(metric="score", policy="auto_promote", trial=trial), card(2, score=0.9), card(1, score=0.8))
    assert later.trial is not None
    assert not later.trial.deploys
    first = judge(job(metric="score", trial=trial), card(1, score=0.1), None)
    worse = judge(job(metric="score", trial=trial), card(2, score=0.7), card(1, score=0.8))
    manual = judge(job(policy="manual", trial=trial), card(2, score=0.9), card(1, score=0.8))
    alone = judge(job(update_existing=False, trial=trial), card(2, score=0.9), card(1, score=0.8))
    assert [one.decision for one in (first, worse, manual, alone)] == ["promote", "hold", "hold", "promote"]
    assert {one.trial for one in (first, worse, manual, alone)} == {None}
