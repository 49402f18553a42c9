"""Whether a new version becomes its model's champion. Pure."""

from dataclasses import dataclass

from schemas.jobs import JobSpec


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided, and the line that tells people why."""

    promoted: bool
    reason: str


def judge(
    job: JobSpec, version: int, metrics: dict[str, float], champion: tuple[int, dict[str, float]] | None
) -> Verdict:
    """Compare a new version with the one in use, as the job's gate asks.

    Args:
        job: its gate names the policy, the metric and the tolerance.
        version: the number of the new version.
        metrics: its metrics.
        champion: number and metrics of the version in use, if there is one.
    """
    gate = job.gate
    made = f"version {version} of {job.model} is registered"
    if gate.policy == "manual":
        return Verdict(False, f"{made}; promoting it is left to a person")
    if champion is None:
        return Verdict(True, f"{made} and in use, the first of its kind")
    number, rival = champion
    if gate.metric is None:
        return Verdict(True, f"{made} and in use in place of version {number}")
    if gate.metric not in rival:
        return Verdict(True, f"{made} and in use: version {number} has no {gate.metric} to compare with")
    better = next(metric.better for metric in job.metrics if metric.name == gate.metric)
    gain = metrics[gate.metric] - rival[gate.metric]
    gain = gain if better == "higher" else -gain
    compared = f"{gate.metric} {metrics[gate.metric]:.4g} against {rival[gate.metric]:.4g} of version {number}"
    if gain < -gate.tolerance:
        return Verdict(False, f"{made} but not in use: {compared} is worse by more than {gate.tolerance:g}")
    return Verdict(True, f"{made} and in use: {compared}")
