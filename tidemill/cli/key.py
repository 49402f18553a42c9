"""`tidemill key`: the keys that the controller signs with, so that edges know what is its own."""

from typing import TYPE_CHECKING, Annotated

import typer

from tidemill.cli.options import Json
from tidemill.cli.output import Columns, print_list, say
from tidemill.cli.session import connect

if TYPE_CHECKING:
    from schemas.views import KeyView

app = typer.Typer(help="See the controller's signing keys, make a new one, retire an old one.", no_args_is_help=True)

_COLUMNS: Columns["KeyView"] = {
    "KEY": lambda key: key.id,
    "STATE": lambda key: key.state,
    "PUBLIC KEY": lambda key: key.public_key,
    "SIGNS FOR": lambda key: ", ".join(key.edges),
}


def _show(keys: "list[KeyView]", *, as_json: bool) -> None:
    print_list(keys, _COLUMNS, as_json=as_json, empty="no key")


@app.command("list")
def list_keys(context: typer.Context, as_json: Json = False) -> None:
    """List the signing keys, the newest first, and the edges whose manifests each signs."""
    with connect(context) as client:
        _show(client.keys(), as_json=as_json)


@app.command("rotate")
def rotate_key(context: typer.Context, as_json: Json = False) -> None:
    """Make a new signing key. Edges learn it from the one before, those that are away when they are back."""
    with connect(context) as client:
        keys = client.rotate_key()
    _show(keys, as_json=as_json)
    say(f"when no edge is left with it: tidemill key retire {keys[1].id}")


@app.command("retire")
def retire_key(
    context: typer.Context,
    key: Annotated[str, typer.Argument(metavar="KEY")],
    force: Annotated[
        bool, typer.Option("--force", help="Although edges trust no newer one: these must be enrolled again.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Have no edge take what an older key signs: when all have changed over, or at once if it was stolen."""
    with connect(context) as client:
        _show(client.retire_key(key, force=force), as_json=as_json)
