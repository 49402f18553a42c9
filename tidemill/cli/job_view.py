"""How a job is shown to a person."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tidemill.cli.output import Columns, ago, amount, pairs

if TYPE_CHECKING:
    from schemas.jobs import JobSpec
    from schemas.schedules import Schedule
    from schemas.views import JobUsage, JobView


def _schedule(schedule: "Schedule | None") -> str:
    if schedule is None:
        return "by hand"
    if schedule.every is not None:
        when = f"every {schedule.every:g} s"
    elif schedule.cron is not None:
        when = f"cron {schedule.cron} {schedule.timezone}"
    else:
        when = f"at {schedule.at}"
    bounds = [f"from {schedule.start}" if schedule.start else "", f"until {schedule.end}" if schedule.end else ""]
    return ", ".join([when, *filter(None, bounds)])


def _place(spec: "JobSpec") -> str:
    if spec.edge is not None:
        return spec.edge
    return pairs(spec.edge_labels) if spec.edge_labels else "any edge"


def _policies(spec: "JobSpec") -> Iterator[str]:
    yield f"missed ticks: {spec.misfire.policy}"
    yield f"overlap: {spec.overlap.policy}"
    yield f"at most {spec.retry.max_attempts} attempts"


def _usage(usage: "JobUsage") -> str:
    told = [f"{usage.runs} runs", f"{usage.cpu_s:.0f} s of cpu"]
    if usage.energy_kwh:
        told.append(f"{usage.energy_kwh:.3g} kWh, {usage.co2e_kg:.3g} kg CO2e")
    told.append(f"{amount(usage.fetched_bytes)} fetched, {amount(usage.cached_bytes)} not downloaded again")
    return "; ".join(told)


USAGE_HEADS = ("JOB", "RUNS", "CPU", "ENERGY", "CO2E", "FETCHED", "NOT FETCHED AGAIN")


def usage_row(usage: "JobUsage") -> list[object]:
    """The cells beneath ``USAGE_HEADS``, behind the job's name."""
    energy = [f"{usage.energy_kwh:.3g} kWh", f"{usage.co2e_kg:.3g} kg"] if usage.energy_kwh else ["", ""]
    return [usage.runs, f"{usage.cpu_s:.1f} s", *energy, amount(usage.fetched_bytes), amount(usage.cached_bytes)]


COLUMNS: Columns["JobView"] = {
    "NAME": lambda job: job.spec.name,
    "MODEL": lambda job: job.spec.model,
    "EDGE": lambda job: _place(job.spec),
    "DUE": lambda job: ago(job.next_fire_at),
    "LAST RUN": lambda job: job.last_run_state,
    "WHY": lambda job: job.why,
}
FIELDS: Columns["JobView"] = {
    "name": lambda job: job.spec.name,
    "why": lambda job: job.why,
    "model": lambda job: job.spec.model,
    "edge": lambda job: _place(job.spec),
    "schedule": lambda job: _schedule(job.spec.schedule),
    "due": lambda job: "\n".join(f"{moment:%Y-%m-%d %H:%M:%S} UTC" for moment in job.next_fires),
    "triggers": lambda job: "\n".join(f"{trigger.text}: {trigger.seen}" for trigger in job.triggers),
    "policies": lambda job: "; ".join(_policies(job.spec)),
    "last run": lambda job: job.last_run and f"{job.last_run} {job.last_run_state}",
    "queries": lambda job: "\n".join(query.query for query in job.spec.queries),
    "scripts": lambda job: ", ".join(script.name for script in job.spec.scripts),
    "metrics": lambda job: ", ".join(metric.name for metric in job.spec.metrics),
    "secrets": lambda job: ", ".join(use.secret for use in job.spec.secrets),
    "took": lambda job: _usage(job.usage),
}
