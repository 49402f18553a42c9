"""`tidemill timeline`: what changed, when and why; and which version answered where at any time."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import BadInput
from tidemill.cli.options import Json
from tidemill.cli.output import Columns, print_list
from tidemill.cli.session import connect

if TYPE_CHECKING:
    from schemas.deployment_views import ChangeView, ServingView

app = typer.Typer(help="See what changed, when and why, and which version answered where.", no_args_is_help=True)

_CHANGES: Columns["ChangeView"] = {
    "WHEN": lambda line: _moment(line.at),
    "EDGE": lambda line: line.edge,
    "OF": lambda line: line.subject,
    "WHAT": lambda line: f"{line.kind} {line.what}",
    "WHY": lambda line: line.cause,
    "BY": lambda line: line.by,
}
_SERVINGS: Columns["ServingView"] = {
    "EDGE": lambda one: one.edge,
    "PIPELINE": lambda one: f"{one.pipeline}:{one.pipeline_version}",
    "MODEL": lambda one: f"{one.model}:{one.version}" if one.ref else "",
    "NAMED": lambda one: one.ref,
    "FROM": lambda one: _moment(one.since),
    "UNTIL": lambda one: _moment(one.until) if one.until else "now",
}

Edge = Annotated[str | None, typer.Option(help="Only what is of this edge.")]


Model = Annotated[str | None, typer.Option(help="Only what is of this model.")]


@app.command("show")
def show_timeline(
    context: typer.Context,
    edge: Edge = None,
    model: Model = None,
    deployment: Annotated[str | None, typer.Option(help="Only what is of this deployment.")] = None,
    most: Annotated[int, typer.Option(min=1, help="At most so many lines.")] = 100,
    as_json: Json = False,
) -> None:
    """Tell what changed, when, why and by whom, newest first."""
    if model and deployment:
        raise BadInput("a line is of a model or of a deployment; name one of them")
    subject = f"model {model}" if model else f"deployment {deployment}" if deployment else None
    with connect(context) as client:
        lines = client.timeline(edge=edge, subject=subject, most=most)
    print_list(lines, _CHANGES, as_json=as_json, empty="nothing has changed yet")


@app.command("served")
def show_served(
    context: typer.Context,
    edge: Edge = None,
    model: Model = None,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Those that answered at this moment, such as 2026-11-27T14:30.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell which version of which model answered where, and from when until when; newest first."""
    with connect(context) as client:
        answered = client.servings(edge=edge, model=model, at=_read(at) if at else None)
    print_list(answered, _SERVINGS, as_json=as_json, empty="nothing has answered, as far as edges have told")


def _read(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput(f"--at {text!r} is no time; write one such as 2026-11-27T14:30 or 2026-11-27T14:30Z") from error
    return moment.astimezone(UTC)  # without a zone it is this machine's time


def _moment(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
