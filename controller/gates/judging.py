"""Whether a new version becomes its model's champion. Pure."""

from datetime import datetime

from controller.gates.checks import Case, budgets_kept, compared, rescored, thresholds
from schemas.gates import Decision, GateCheck, GateResult, PendingTrial, Trial
from schemas.models import ModelVersion


def judge(case: Case, now: datetime) -> GateResult:
    """Look at everything that the gate asks for.

    A version without the number that decides, because its metric is optional, replaces no version in use: nobody could
    tell whether it is better. Neither does one that only shows what an earlier run gave.
    """
    checks = (*thresholds(case), *budgets_kept(case), *rescored(case), *compared(case))
    decision, why = _decide(case, checks)
    trial = _trial(case) if decision == "promote" else None
    if trial is not None:
        decision, why = "hold", f" but not in use yet: {_what_it_waits_for(case.card, trial.asks)}"
    made = f"version {case.card.version} of {case.card.name} is registered"
    return GateResult(
        decision=decision,
        reason=f"{made}{why}",
        checks=checks,
        trial=trial,
        champion=case.champion.version if case.champion else None,
        rows=case.scores.rows if case.scores else 0,
        at=now,
    )


def _decide(case: Case, checks: tuple[GateCheck, ...]) -> tuple[Decision, str]:
    """The decision, and why, to be read behind that it is registered."""
    if case.card.lineage.reproduces is not None:
        return "hold", f" but not in use: it reproduces run {case.card.lineage.reproduces}"
    broken = next((check for check in checks if check.passed is False and _is_hard(check)), None)
    if broken is not None:
        return "reject", f" and rejected: {broken.detail}"
    if not case.updates:
        return "promote", ", a model of its own"
    if case.gate.policy == "manual":
        return "hold", "; promoting it is left to a person"
    worse = next((check for check in checks if check.passed is not True), None)
    if worse is not None:
        return "hold", f" but not in use: {worse.detail}"
    if case.champion is None:
        return "promote", " and in use, the first of its kind"
    told = next((check.detail for check in reversed(checks) if check.detail), "")
    return "promote", f" and in use: {told}" if told else f" and in use in place of version {case.champion.version}"


def _trial(case: Case) -> PendingTrial | None:
    """What is left to show of a version that has passed everything else, and has a rival to be asked beside."""
    if case.gate.trial is None or case.champion is None or not case.updates:
        return None
    return PendingTrial(asks=case.gate.trial, deploys=case.gate.deploys)


def _what_it_waits_for(card: ModelVersion, asks: Trial) -> str:
    return f"{asks.messages} messages have to be asked of {card.name}@candidate by the shadow of a deployment"


def _is_hard(check: GateCheck) -> bool:
    """What says that a version is broken, and not only that it is no better than its rival."""
    return not check.name.startswith(("compared", "rescored"))
