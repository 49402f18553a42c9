"""`tidemill job`: what is trained, when, and training it now."""

from typing import Annotated

import typer

from tidemill.cli import job_change, job_run, job_trial
from tidemill.cli.job_view import COLUMNS, FIELDS, USAGE_HEADS, usage_row
from tidemill.cli.options import Json, Name
from tidemill.cli.output import print_json, print_list, print_one, print_table
from tidemill.cli.run_view import HISTORY
from tidemill.cli.session import connect

app = typer.Typer(help="See what is trained and when, change it, and train it now.", no_args_is_help=True)
for commands in (job_change.app, job_run.app, job_trial.app):
    app.add_typer(commands)


@app.command("list")
def list_jobs(context: typer.Context, as_json: Json = False) -> None:
    """List every job, when it is due, and what it waits for."""
    with connect(context) as client:
        jobs = client.jobs()
    print_list(jobs, COLUMNS, as_json=as_json, empty="no job yet; see: tidemill job create --help")


@app.command("show")
def show_job(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show one job: why it is not running, when it is due, what its runs took."""
    with connect(context) as client:
        print_one(client.job(name), FIELDS, as_json=as_json)


@app.command("usage")
def show_usage(context: typer.Context, as_json: Json = False) -> None:
    """Tell what the kept runs of each job took: processor, energy, bytes fetched and not fetched again."""
    with connect(context) as client:
        usage = client.usage()
    if as_json:
        print_json(usage.model_dump(mode="json"))
        return
    rows = [*usage.jobs.items(), ("all together", usage.total)]
    print_table(USAGE_HEADS, [[name, *usage_row(took)] for name, took in rows])


@app.command("history")
def show_history(
    context: typer.Context,
    name: Name,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 20,
    as_json: Json = False,
) -> None:
    """List what came of a job's runs, newest first: versions, rows, metrics, and why others made none."""
    with connect(context) as client:
        client.job(name)
        runs = client.runs(job=name, limit=limit)
    print_list(runs, HISTORY, as_json=as_json, empty=f"no run yet; start one with: tidemill job run {name}")
