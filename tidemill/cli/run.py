"""`tidemill run`: what became of each execution of a job."""

from typing import Annotated
from uuid import UUID

import typer

from schemas.errors import BadInput
from tidemill.cli.follow import follow_run, line_as_json, line_as_text, print_log
from tidemill.cli.options import Json, Patience
from tidemill.cli.output import print_list, print_one
from tidemill.cli.run_view import COLUMNS, FIELDS
from tidemill.cli.session import connect

app = typer.Typer(help="See what became of each execution of a job.", no_args_is_help=True)

RunId = Annotated[UUID, typer.Argument(metavar="ID")]


@app.command("list")
def list_runs(
    context: typer.Context,
    job: Annotated[str | None, typer.Option(help="Only runs of this job.")] = None,
    state: Annotated[str | None, typer.Option(help="Only runs in this state, such as running or failed.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 20,
    as_json: Json = False,
) -> None:
    """List runs, newest first."""
    from schemas.runs import RunState  # noqa: PLC0415 - see the package's first line

    if state is not None and state not in set(RunState):
        raise BadInput(f"{state!r} is no state of a run; there are {', '.join(RunState)}")
    with connect(context) as client:
        runs = client.runs(job=job, state=RunState(state) if state else None, limit=limit)
    print_list(runs, COLUMNS, as_json=as_json, empty="no such run; start one with: tidemill job run NAME")


@app.command("show")
def show_run(context: typer.Context, run_id: RunId, as_json: Json = False) -> None:
    """Show one run: its state, and what it waits for while it is live."""
    with connect(context) as client:
        print_one(client.run(run_id), FIELDS, as_json=as_json)


@app.command("logs")
def show_log(
    context: typer.Context,
    run_id: RunId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
    timeout: Patience = None,
    as_json: Json = False,
) -> None:
    """Print a run's log: the current attempt's. With --json, one object for each line."""
    line = line_as_json if as_json else line_as_text
    with connect(context) as client:
        if follow:
            follow_run(client, run_id, line, timeout_s=timeout)
        else:
            print_log(client, run_id, line)


@app.command("cancel")
def cancel_run(context: typer.Context, run_id: RunId, as_json: Json = False) -> None:
    """Stop a run; its edge ends the scripts as soon as it hears of it."""
    with connect(context) as client:
        print_one(client.cancel_run(run_id), FIELDS, as_json=as_json)
