"""`tidemill run`: what became of each execution of a job."""

from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from schemas.errors import BadInput, NotFound
from tidemill.cli.follow import follow_run, line_as_json, line_as_text, print_log
from tidemill.cli.options import Json, Patience
from tidemill.cli.output import amount, print_json, print_list, print_one, print_table, say
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


@app.command("retry")
def retry_run(context: typer.Context, run_id: RunId, as_json: Json = False) -> None:
    """Do a run that came to nothing once more: the same job as it was then, on data selected anew."""
    with connect(context) as client:
        print_one(client.retry_run(run_id), FIELDS, as_json=as_json)


@app.command("reproduce")
def reproduce_run(context: typer.Context, run_id: RunId, as_json: Json = False) -> None:
    """Train again on exactly what a run was given: rows, scripts, requirements. The version is never promoted."""
    with connect(context) as client:
        print_one(client.reproduce_run(run_id), FIELDS, as_json=as_json)


@app.command("progress")
def show_progress(context: typer.Context, run_id: RunId, as_json: Json = False) -> None:
    """Print what a run's scripts wrote to progress_path, such as the loss of each step."""
    points: list[dict[str, float]] = []
    with connect(context) as client:
        page = client.progress(run_id)
        while page.points:
            points += page.points
            page = client.progress(run_id, from_point=page.next_point)
    if as_json:
        print_json(points)
        return
    names = list(dict.fromkeys(name for point in points for name in point))
    print_table(names, [[point.get(name) for name in names] for point in points])


@app.command("download")
def download_run(
    context: typer.Context,
    run_id: RunId,
    output: Annotated[Path | None, typer.Option(help="The folder to write into; default run-ID.")] = None,
    only: Annotated[str, typer.Option(help="Only files that fit this pattern, such as 'output/*'.")] = "*",
    as_json: Json = False,
) -> None:
    """Fetch what a run was given (input/) and what it made (output/): rows, scripts, log, model, other files."""
    folder = output or Path(f"run-{run_id}")
    with connect(context) as client:
        files = {path: ref for path, ref in client.run_files(run_id).items() if fnmatch(path, only)}
        if not files:
            raise NotFound(f"run {run_id} has no file that fits {only!r}")
        for path, ref in files.items():
            client.download_blob(ref, folder / path)
            say(f"{folder / path}: {amount(ref.size_bytes)}")
    if as_json:
        print_json({"folder": str(folder), "files": sorted(files)})
