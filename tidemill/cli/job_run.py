"""Training now: commands of `tidemill job`."""

from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import TaskFailed, TimedOut
from tidemill.cli.follow import follow_run, line_as_message, line_as_text, no_line
from tidemill.cli.options import Json, Name, Patience
from tidemill.cli.output import pairs, print_one, say
from tidemill.cli.run_view import FIELDS
from tidemill.cli.session import connect

if TYPE_CHECKING:
    from schemas.views import RunView

app = typer.Typer()


@app.command("run")
def run_job(  # noqa: PLR0913, PLR0917 - a command's options
    context: typer.Context,
    name: Name,
    full: Annotated[bool, typer.Option("--full", help="On all rows, also for queries that ask for new ones.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print the log as it comes, and wait.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the run has ended.")] = False,
    timeout: Patience = None,
    as_json: Json = False,
) -> None:
    """Train now. With --follow or --wait, the exit status is 0 only if the run succeeded."""
    line = no_line if not follow else line_as_message if as_json else line_as_text
    waits = follow or wait or timeout is not None
    with connect(context) as client:
        run = client.run_job(name, full=full)
        say(f"run {run.id} of {name}" + ("" if waits else f"; see it with: tidemill run show {run.id}"))
        if waits:
            run = follow_run(client, run.id, line, timeout_s=timeout)
    if as_json or not waits:
        print_one(run, FIELDS, as_json=as_json)
    if waits:
        require_success(run)


def require_success(run: "RunView") -> None:
    """The run's end as the command's own. Raises TimedOut or TaskFailed."""
    if run.state == "timed_out":
        raise TimedOut(f"run {run.id} timed out: {run.reason}")
    if run.state != "succeeded":
        raise TaskFailed(f"run {run.id} {run.state}: {run.reason}")
    say(", ".join(filter(None, (f"{run.model}:{run.version} came of it", pairs(run.metrics)))))
