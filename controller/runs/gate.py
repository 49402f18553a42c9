"""Whether a new version becomes its model's champion. Pure."""

import math
from dataclasses import dataclass

from schemas.jobs import JobSpec
from schemas.models import ModelVersion


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided, and the line that tells people why."""

    promoted: bool
    reason: str


def judge(job: JobSpec, card: ModelVersion, champion: ModelVersion | None) -> Verdict:
    """Compare a new version with the one in use, as the job's gate asks.

    A version without the number that decides, because its metric is optional, replaces no version in use: nobody could
    tell whether it is better. Neither does one that only shows what an earlier run gave.

    Args:
        job: its gate names the policy, the metric and the tolerance.
        card: the new version.
        champion: the version in use, if there is one.
    """
    made = f"version {card.version} of {card.name} is registered"
    if card.lineage.reproduces is not None:
        return Verdict(False, f"{made} but not in use: it reproduces run {card.lineage.reproduces}")
    if not job.update_existing:
        return Verdict(True, f"{made}, a model of its own")
    if job.gate.policy == "manual":
        return Verdict(False, f"{made}; promoting it is left to a person")
    if champion is None:
        return Verdict(True, f"{made} and in use, the first of its kind")
    if job.gate.metric is None:
        return Verdict(True, f"{made} and in use in place of version {champion.version}")
    return _compare(job, card, champion, made)


def _compare(job: JobSpec, card: ModelVersion, champion: ModelVersion, made: str) -> Verdict:
    name = job.gate.metric or ""
    mine, rival = card.metrics.get(name), champion.metrics.get(name)
    if mine is None or not math.isfinite(mine):
        return Verdict(False, f"{made} but not in use: its run gave no {name}, which decides")
    if rival is None or not math.isfinite(rival):
        return Verdict(True, f"{made} and in use: version {champion.version} has no {name} to compare with")
    better = next(metric.better for metric in job.metrics if metric.name == name)
    gain = mine - rival if better == "higher" else rival - mine
    compared = f"{name} {mine:.4g} against {rival:.4g} of version {champion.version}"
    if gain < -job.gate.tolerance:
        return Verdict(False, f"{made} but not in use: {compared} is worse by more than {job.gate.tolerance:g}")
    return Verdict(True, f"{made} and in use: {compared}")
