"""`tidemill job`: what is trained, when, and training it now."""

from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import TaskFailed, TimedOut
from tidemill.cli.follow import follow_run, line_as_message, line_as_text, no_line
from tidemill.cli.options import Json, Name, Patience
from tidemill.cli.output import Columns, ago, pairs, print_list, print_one, say
from tidemill.cli.run_view import FIELDS
from tidemill.cli.session import connect

if TYPE_CHECKING:
    from schemas.schedules import Schedule
    from schemas.views import JobView, RunView

app = typer.Typer(help="See what is trained and when, and train it now.", no_args_is_help=True)


def _schedule(schedule: "Schedule | None") -> str:
    if schedule is None:
        return "by hand"
    if schedule.every is not None:
        return f"every {schedule.every:g} s"
    if schedule.cron is not None:
        return f"cron {schedule.cron} {schedule.timezone}"
    return f"at {schedule.at}"


_COLUMNS: Columns["JobView"] = {
    "NAME": lambda job: job.spec.name,
    "MODEL": lambda job: job.spec.model,
    "EDGE": lambda job: job.spec.edge,
    "DUE": lambda job: ago(job.next_fire_at),
    "LAST RUN": lambda job: job.last_run_state,
    "WHY": lambda job: job.why,
}
_JOB_FIELDS: Columns["JobView"] = {
    "name": lambda job: job.spec.name,
    "why": lambda job: job.why,
    "model": lambda job: job.spec.model,
    "edge": lambda job: job.spec.edge,
    "schedule": lambda job: _schedule(job.spec.schedule),
    "due": lambda job: ago(job.next_fire_at),
    "last run": lambda job: job.last_run and f"{job.last_run} {job.last_run_state}",
    "queries": lambda job: "\n".join(query.query for query in job.spec.queries),
    "scripts": lambda job: ", ".join(script.name for script in job.spec.scripts),
    "metrics": lambda job: ", ".join(metric.name for metric in job.spec.metrics),
}


@app.command("list")
def list_jobs(context: typer.Context, as_json: Json = False) -> None:
    """List every job, when it is due, and what it waits for."""
    with connect(context) as client:
        jobs = client.jobs()
    print_list(jobs, _COLUMNS, as_json=as_json, empty="no job yet; write one and: tidemill apply -f FILE")


@app.command("show")
def show_job(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show one job."""
    with connect(context) as client:
        print_one(client.job(name), _JOB_FIELDS, as_json=as_json)


@app.command("run")
def run_job(
    context: typer.Context,
    name: Name,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print the log as it comes, and wait.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the run has ended.")] = False,
    timeout: Patience = None,
    as_json: Json = False,
) -> None:
    """Train now. With --follow or --wait, the exit status is 0 only if the run succeeded."""
    line = no_line if not follow else line_as_message if as_json else line_as_text
    waits = follow or wait or timeout is not None
    with connect(context) as client:
        run = client.run_job(name)
        say(f"run {run.id} of {name}" + ("" if waits else f"; see it with: tidemill run show {run.id}"))
        if waits:
            run = follow_run(client, run.id, line, timeout_s=timeout)
    if as_json or not waits:
        print_one(run, FIELDS, as_json=as_json)
    if waits:
        _require_success(run)


@app.command("pause")
def pause_job(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Let a job's schedule rest; it can still be run by hand."""
    with connect(context) as client:
        print_one(client.pause_job(name), _JOB_FIELDS, as_json=as_json)


@app.command("resume")
def resume_job(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Let a paused job's schedule go on."""
    with connect(context) as client:
        print_one(client.resume_job(name), _JOB_FIELDS, as_json=as_json)


def _require_success(run: "RunView") -> None:
    """The run's end as this command's own."""
    if run.state == "timed_out":
        raise TimedOut(f"run {run.id} timed out: {run.reason}")
    if run.state != "succeeded":
        raise TaskFailed(f"run {run.id} {run.state}: {run.reason}")
    say(f"{run.model}:{run.version} came of it, {pairs(run.metrics)}")
