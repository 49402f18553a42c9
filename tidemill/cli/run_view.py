"""How a run is shown to a person, wherever one is shown."""

from textwrap import shorten
from typing import TYPE_CHECKING

from tidemill.cli.output import Columns, ago, amount, pairs

if TYPE_CHECKING:
    from schemas.views import RunView

_LONGEST_REASON = 300


def _cached(run: "RunView") -> str:
    if run.environment_cached:
        return "from the cache"
    return f"made for it with {run.installer}" if run.installer else "made for it"


def _usage(run: "RunView") -> str:
    usage = run.usage
    told = [
        "" if usage.cpu_s is None else f"{usage.cpu_s:.1f} s of cpu",
        "" if usage.memory_peak_bytes is None else f"{amount(usage.memory_peak_bytes)} of memory",
        "" if usage.energy_kwh is None else f"{usage.energy_kwh:.3g} kWh",
        "" if usage.co2e_kg is None else f"{usage.co2e_kg:.3g} kg CO2e",
        f"{amount(usage.fetched_bytes)} fetched" if usage.fetched_bytes else "",
        f"{amount(usage.cached_bytes)} from the cache" if usage.cached_bytes else "",
    ]
    return ", ".join(filter(None, told))


def _in_a_line(run: "RunView") -> str:
    """Its reason for a list; `run show` has all lines of it."""
    return shorten(run.reason, _LONGEST_REASON, placeholder=" …")


COLUMNS: Columns["RunView"] = {
    "ID": lambda run: run.id,
    "JOB": lambda run: run.job,
    "STATE": lambda run: run.state,
    "CREATED": lambda run: ago(run.created_at),
    "ROWS": lambda run: run.rows,
    "VERSION": lambda run: run.version and f"{run.model}:{run.version}",
    "METRICS": lambda run: pairs(run.metrics),
    "REASON": _in_a_line,
}
HISTORY: Columns["RunView"] = {
    "CREATED": lambda run: ago(run.created_at),
    "STATE": lambda run: run.state,
    "WHY QUEUED": lambda run: run.cause or run.trigger,
    "ROWS": lambda run: run.rows,
    "TOOK": lambda run: None if run.script_s is None else f"{run.script_s:.1f} s",
    "VERSION": lambda run: run.version and f"{run.model}:{run.version}",
    "METRICS": lambda run: pairs(run.metrics),
    "REASON": _in_a_line,
    "ID": lambda run: run.id,
}
FIELDS: Columns["RunView"] = {
    "id": lambda run: run.id,
    "job": lambda run: run.job,
    "state": lambda run: run.state,
    "reason": lambda run: run.reason,
    "deadline": lambda run: ago(run.deadline),
    "edge": lambda run: run.edge,
    "attempt": lambda run: run.attempt,
    "queued": lambda run: f"{run.trigger}: {run.cause}" if run.cause else run.trigger,
    "not before": lambda run: ago(run.not_before),
    "created": lambda run: ago(run.created_at),
    "started": lambda run: ago(run.started_at),
    "ended": lambda run: ago(run.ended_at),
    "scripts took": lambda run: None if run.script_s is None else f"{run.script_s:.1f} s",
    "exit code": lambda run: run.exit_code,
    "executor": lambda run: run.executor,
    "image": lambda run: run.image_digest or run.image,
    "environment": lambda run: run.environment and f"{run.environment} ({_cached(run)})",
    "took": _usage,
    "rows": lambda run: run.rows,
    "held out": lambda run: run.holdout and f"{run.holdout.rows} rows",
    "metrics": lambda run: pairs(run.metrics),
    "version": lambda run: run.version and f"{run.model}:{run.version}",
    "log ends": lambda run: "\n".join(run.log_tail[-10:]),
}
