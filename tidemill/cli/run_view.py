"""How a run is shown to a person, wherever one is shown."""

from typing import TYPE_CHECKING

from tidemill.cli.output import Columns, ago, pairs

if TYPE_CHECKING:
    from schemas.views import RunView

COLUMNS: Columns["RunView"] = {
    "ID": lambda run: run.id,
    "JOB": lambda run: run.job,
    "STATE": lambda run: run.state,
    "CREATED": lambda run: ago(run.created_at),
    "ROWS": lambda run: run.rows,
    "VERSION": lambda run: run.version and f"{run.model}:{run.version}",
    "METRICS": lambda run: pairs(run.metrics),
    "REASON": lambda run: run.reason,
}
FIELDS: Columns["RunView"] = {
    "id": lambda run: run.id,
    "job": lambda run: run.job,
    "state": lambda run: run.state,
    "reason": lambda run: run.reason,
    "deadline": lambda run: ago(run.deadline),
    "edge": lambda run: run.edge,
    "attempt": lambda run: run.attempt,
    "trigger": lambda run: run.trigger,
    "created": lambda run: ago(run.created_at),
    "started": lambda run: ago(run.started_at),
    "ended": lambda run: ago(run.ended_at),
    "scripts took": lambda run: None if run.script_s is None else f"{run.script_s:.1f} s",
    "exit code": lambda run: run.exit_code,
    "executor": lambda run: run.executor,
    "rows": lambda run: run.rows,
    "metrics": lambda run: pairs(run.metrics),
    "version": lambda run: run.version and f"{run.model}:{run.version}",
    "log ends": lambda run: "\n".join(run.log_tail[-10:]),
}
