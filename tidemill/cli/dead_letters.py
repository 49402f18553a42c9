"""`tidemill pipeline dead-letters`: messages that a pipeline could not answer."""

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import BadInput, NotFound
from schemas.payload_text import as_bytes
from tidemill.cli.editor import edit
from tidemill.cli.options import Json, Name
from tidemill.cli.output import Columns, ago, amount, print_list, print_one, say
from tidemill.cli.session import connect

if TYPE_CHECKING:
    from schemas.pipeline_views import DeadLetterContent, DeadLetterView
    from tidemill.client import Client

app = typer.Typer(help="See the messages that a pipeline could not answer, and send them again.", no_args_is_help=True)

Numbers = Annotated[list[int] | None, typer.Argument(metavar="[ID]…", help="As `list` tells them.")]
Number = Annotated[int, typer.Argument(metavar="ID")]

_COLUMNS: Columns["DeadLetterView"] = {
    "ID": lambda letter: letter.id,
    "AT": lambda letter: ago(letter.at),
    "TOPIC": lambda letter: letter.topic,
    "SIZE": lambda letter: amount(letter.size_bytes) + (" (cut)" if letter.truncated else ""),
    "RETRIED": lambda letter: ago(letter.retried_at),
    "NODE": lambda letter: letter.node,
    "ERROR": lambda letter: letter.error,
}
_FIELDS: Columns["DeadLetterContent"] = {
    "id": lambda letter: letter.id,
    "pipeline": lambda letter: f"{letter.pipeline} version {letter.version}",
    "at": lambda letter: letter.at.isoformat(timespec="milliseconds"),
    "topic": lambda letter: letter.topic,
    "node": lambda letter: letter.node,
    "error": lambda letter: letter.error,
    "retried": lambda letter: ago(letter.retried_at),
    "size": lambda letter: amount(letter.size_bytes) + (", of which more came" if letter.truncated else ""),
    "encoding": lambda letter: letter.encoding,
    "payload": lambda letter: letter.payload,
}


@app.command("list")
def list_letters(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """List a pipeline's dead letters, newest first; the controller keeps the newest 1000."""
    with connect(context) as client:
        letters = client.dead_letters(name)
    print_list(letters, _COLUMNS, as_json=as_json, empty=f"{name} has no dead letter")


@app.command("show")
def show_letter(
    context: typer.Context,
    name: Name,
    number: Number,
    raw: Annotated[bool, typer.Option("--payload", help="Print the payload alone, byte for byte.")] = False,
    as_json: Json = False,
) -> None:
    """Show one dead letter with its payload."""
    with connect(context) as client:
        letter = client.dead_letter(name, number)
    if raw:
        sys.stdout.buffer.write(as_bytes(letter.payload, letter.encoding))
    else:
        print_one(letter, _FIELDS, as_json=as_json)


@app.command("retry")
def retry_letters(
    context: typer.Context,
    name: Name,
    numbers: Numbers = None,
    all_letters: Annotated[bool, typer.Option("--all", help="All that were not sent again yet, oldest first.")] = False,
    in_editor: Annotated[bool, typer.Option("--edit", help="Change the payload in $EDITOR first.")] = False,
    payload: Annotated[
        str | None, typer.Option("--payload", metavar="FILE", help="Send what this file holds instead; - is stdin.")
    ] = None,
) -> None:
    """Publish messages again on the topics that they came on; one that fails again becomes a new dead letter."""
    if (in_editor or payload is not None) and len(numbers or ()) != 1:
        raise BadInput("--edit and --payload change one message: give its ID alone")
    with connect(context) as client:
        for number in _chosen(client, name, numbers, all_letters=all_letters):
            changed = _edited(client, name, number) if in_editor else _read(payload)
            letter = client.retry_dead_letter(name, number, changed)
            say(f"{number} is published again on {letter.topic}")


@app.command("drop")
def drop_letters(
    context: typer.Context,
    name: Name,
    numbers: Numbers = None,
    all_letters: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
) -> None:
    """Forget dead letters."""
    with connect(context) as client:
        if all_letters and not numbers:
            client.drop_dead_letters(name)
            say(f"all dead letters of {name} are dropped")
            return
        for number in _chosen(client, name, numbers, all_letters=all_letters):
            client.drop_dead_letter(name, number)
            say(f"{number} is dropped")


def _chosen(client: "Client", name: str, numbers: list[int] | None, *, all_letters: bool) -> list[int]:
    if bool(numbers) == all_letters:
        raise BadInput(f"give the ID of each, or --all; `tidemill pipeline dead-letters list {name}` tells them")
    if numbers:
        return numbers
    # One that was cut cannot be sent as it is: it would only end the others.
    letters = [letter for letter in client.dead_letters(name) if letter.retried_at is None and not letter.truncated]
    return sorted(letter.id for letter in letters)


def _read(payload: str | None) -> bytes | None:
    if payload is None:
        return None
    if payload == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(payload).read_bytes()
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {payload}") from error
    except OSError as error:
        raise BadInput(f"{payload} cannot be read: {error.strerror}") from error


def _edited(client: "Client", name: str, number: int) -> bytes:
    """The payload as the person's editor left it."""
    letter = client.dead_letter(name, number)
    with tempfile.TemporaryDirectory(prefix="tidemill-") as folder:
        file = Path(folder, f"letter-{number}.json")
        before = as_bytes(letter.payload, letter.encoding)
        file.write_bytes(before)
        edit(file, instead="--payload")
        after = file.read_bytes()
    added_by_the_editor = after.endswith(b"\n") and not before.endswith(b"\n")
    return after[:-1] if added_by_the_editor else after
