"""`tidemill secret`: what scripts need and nobody else may read, such as passwords."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import BadInput
from tidemill.cli.options import Json, Name
from tidemill.cli.output import Columns, ago, print_json, print_list, say
from tidemill.cli.session import connect

if TYPE_CHECKING:
    from schemas.views import SecretView

app = typer.Typer(help="Set, list and delete secrets; a value is never shown again.", no_args_is_help=True)

_COLUMNS: Columns["SecretView"] = {
    "NAME": lambda secret: secret.name,
    "CHANGED": lambda secret: ago(secret.changed_at),
    "USED BY": lambda secret: ", ".join(secret.used_by),
}


@app.command("set")
def set_secret(
    context: typer.Context,
    name: Name,
    from_file: Annotated[
        Path | None, typer.Option("--from-file", metavar="FILE", help="Take what this file holds, to the last byte.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Set a secret, or change it: from a file, from standard input, or typed in twice, unseen.

    From standard input, the line break at the end is left away.
    """
    value = _from_file(from_file) if from_file else _from_stdin(name)
    with connect(context) as client:
        secret = client.set_secret(name, value)
    if as_json:
        print_json(secret.model_dump(mode="json"))
    else:
        say(f"secret {name} is set; runs that are dispatched from now on get it")


@app.command("list")
def list_secrets(context: typer.Context, as_json: Json = False) -> None:
    """List every secret: its name, when it was changed, and the jobs that use it."""
    with connect(context) as client:
        secrets = client.secrets()
    print_list(secrets, _COLUMNS, as_json=as_json, empty="no secret yet; set one with: tidemill secret set NAME")


@app.command("delete")
def delete_secret(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Forget a secret; refused while a job uses it."""
    with connect(context) as client:
        client.delete_secret(name)
    if as_json:
        print_json({"name": name})
    else:
        say(f"secret {name} is deleted")


def _from_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from error


def _from_stdin(name: str) -> bytes:
    if sys.stdin.isatty():
        typed: str = typer.prompt(f"Value of {name}", hide_input=True, confirmation_prompt=True, err=True)
        return typed.encode()
    value = sys.stdin.buffer.read()
    return value[:-2] if value.endswith(b"\r\n") else value.removesuffix(b"\n")
