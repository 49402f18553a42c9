"""What a gate looks at, one thing after the other. Pure."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from controller.gates.scoring_task import Scores
from schemas.gates import HIGHER_IS_BETTER, Better, Gate, GateCheck, Rescore
from schemas.models import ModelVersion

_NO_ROWS = "no version of its model has a holdout, the frozen rows that it would be asked about"


@dataclass(frozen=True, slots=True)
class Case:
    """What is judged."""

    gate: Gate
    card: ModelVersion  # the new version
    champion: ModelVersion | None  # the version in use, if there is one
    scores: Scores | None = None  # what was measured, if the gate asks for it
    updates: bool = True  # the version is the next of its model; False: of a model of its own
    better: Better = "higher"  # which way the metric is that the gate compares

    @property
    def origin(self) -> str:
        """How to say that it has no such number."""
        return "its run gave no" if self.card.lineage.run_id is not None else "it was uploaded without"


def thresholds(case: Case) -> Iterator[GateCheck]:
    """The scripts' own numbers against fixed limits."""
    for threshold in case.gate.thresholds:
        value = case.card.metrics.get(threshold.metric)
        limit = threshold.at_least if threshold.at_least is not None else threshold.at_most
        name = f"threshold {threshold.metric}"
        if value is None or not math.isfinite(value):
            yield GateCheck(name=name, passed=False, limit=limit, detail=f"{case.origin} {threshold.metric}")
            continue
        low = threshold.at_least is not None and value < threshold.at_least
        high = threshold.at_most is not None and value > threshold.at_most
        words = "below" if low else "above" if high else "within"
        detail = f"{threshold.metric} {value:.4g} is {words} {limit:g}"
        yield GateCheck(name=name, passed=not (low or high), value=value, limit=limit, detail=detail)


def budgets_kept(case: Case) -> Iterator[GateCheck]:
    """What it takes of the machine."""
    budgets, scores = case.gate.budgets, case.scores
    if budgets is None:
        return
    file_mb = sum(ref.size_bytes for ref in case.card.files.values()) / 1e6
    measured = {
        "file_mb": (budgets.file_mb, file_mb, "MB of files"),
        "latency_ms": (budgets.latency_ms, scores.latency_ms if scores else None, "ms for one row (p95)"),
        "memory_mb": (budgets.memory_mb, scores.memory_mb if scores else None, "MB of memory"),
    }
    for name, (limit, value, unit) in measured.items():
        if limit is None:
            continue
        if value is None:
            why = scores.trouble if scores and scores.trouble else "nobody can make up an input for it"
            yield GateCheck(name=f"rescored {name}", passed=None, limit=limit, detail=f"{name} is not known: {why}")
        else:
            fits = value <= limit
            detail = f"it takes {value:.3g} {unit}, and {limit:g} are allowed"
            yield GateCheck(name=name, passed=fits, value=value, limit=limit, detail="" if fits else detail)


def rescored(case: Case) -> Iterator[GateCheck]:
    """Measured here, on the same rows."""
    rescore, scores = case.gate.rescore, case.scores
    if rescore is None or scores is None:
        return
    name = f"rescored {rescore.metric}"
    if scores.fault:
        yield GateCheck(name=f"answers {rescore.metric}", passed=False, detail=f"on the holdout {scores.fault}")
        return
    if scores.candidate is None or (case.champion is not None and scores.low is None):
        detail = f"{rescore.metric} could not be told: {scores.trouble or _NO_ROWS}"
        yield GateCheck(name=name, passed=None, value=scores.candidate, rival=scores.champion, detail=detail)
        return
    if case.champion is None or scores.champion is None or scores.low is None or scores.high is None:
        detail = f"{rescore.metric} {scores.candidate:.4g} on {scores.rows} rows of the holdout"
        yield GateCheck(name=name, passed=True, value=scores.candidate, detail=detail)
        return
    yield _against_champion(rescore, scores, name, f"version {case.champion.version}")


def _against_champion(rescore: Rescore, scores: Scores, name: str, rival: str) -> GateCheck:
    mine, theirs, low, high = (value or 0.0 for value in (scores.candidate, scores.champion, scores.low, scores.high))
    better = rescore.wants == "better"
    wanted = rescore.margin if better else 0.0 - rescore.margin  # and not -0
    gain = mine - theirs if HIGHER_IS_BETTER[rescore.metric] else theirs - mine
    told = (
        f"{rescore.metric} {mine:.4g} against {theirs:.4g} of {rival} on the same {scores.rows} rows; the gain is "
        f"{gain:+.4g}, with {rescore.confidence:.0%} confidence in [{low:+.4g}, {high:+.4g}]"
    )
    passed = low > wanted if better else low >= wanted
    return GateCheck(
        name=name,
        passed=passed,
        value=mine,
        rival=theirs,
        limit=wanted,
        low=low,
        high=high,
        detail=told if passed else f"{told}, whose lower end has to be {'above' if better else 'at least'} {wanted:g}",
    )


def compared(case: Case) -> Iterator[GateCheck]:
    """The scripts' own numbers against the champion's."""
    name, champion = case.gate.metric, case.champion
    if name is None or champion is None:
        return
    mine, rival = case.card.metrics.get(name), champion.metrics.get(name)
    check = GateCheck(name=f"compared {name}", passed=None, value=mine, rival=rival)
    if mine is None or not math.isfinite(mine):
        yield check.model_copy(update={"detail": f"{case.origin} {name}, which decides", "value": None})
        return
    if rival is None or not math.isfinite(rival):
        detail = f"version {champion.version} has no {name} to compare with"
        yield check.model_copy(update={"passed": True, "detail": detail, "rival": None})
        return
    gain = mine - rival if case.better == "higher" else rival - mine
    told = f"{name} {mine:.4g} against {rival:.4g} of version {champion.version}"
    passed = gain >= -case.gate.tolerance
    detail = told if passed else f"{told} is worse by more than {case.gate.tolerance:g}"
    yield check.model_copy(update={"passed": passed, "limit": case.gate.tolerance, "detail": detail})
