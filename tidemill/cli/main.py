"""The `tidemill` command itself: its nouns, the options before them, and how every error ends it."""

import json
import sys
from typing import Annotated

import typer

from schemas.errors import TidemillError
from tidemill import __version__
from tidemill.cli import collection, deployment, edge, job, key, model, pipeline, run, secret, timeline, window
from tidemill.cli.apply import apply
from tidemill.cli.broker import broker
from tidemill.cli.command_log import log_to_person
from tidemill.cli.daemons import agent, controller, demo
from tidemill.cli.doctor import doctor
from tidemill.cli.exit_codes import exit_code
from tidemill.cli.output import printable, say
from tidemill.cli.schema import schema
from tidemill.cli.session import DEFAULT_URL, ControllerChoice

app = typer.Typer(
    help="Retrains models where the data is and runs them on the streams the data comes from.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for noun in (edge, collection, job, run, model, pipeline, deployment, window, timeline, secret, key):
    app.add_typer(noun.app, name=noun.__name__.rpartition(".")[2])
for command in (apply, broker, controller, agent, demo, doctor, schema):
    app.command()(command)


@app.callback()
def choose_controller(
    context: typer.Context,
    url: Annotated[str, typer.Option(envvar="TIDEMILL_URL", help="The controller.")] = DEFAULT_URL,
    token: Annotated[
        str | None,
        typer.Option(envvar="TIDEMILL_TOKEN", help="The API token; default: what ~/.config/tidemill/token holds."),
    ] = None,
) -> None:
    """Retrains models where the data is and runs them on the streams the data comes from."""
    context.obj = ControllerChoice(url, token)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Run the command; an error that Tidemill names is one message and its exit status, never a stack trace."""
    log_to_person()
    try:
        app()
    except TidemillError as error:
        if "--json" in sys.argv:
            say(json.dumps({"code": error.code, "message": str(error)}, ensure_ascii=False))
        else:
            say(f"tidemill: {printable(str(error))}")
        sys.exit(exit_code(error.code))
