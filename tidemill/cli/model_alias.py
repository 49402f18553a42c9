"""Aliases of models: moving, removing, going back, and every move: commands of `tidemill model`."""

from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import NotFound
from tidemill.cli.model_reference import Alias, Reference, number_of, parse
from tidemill.cli.options import Json, Name
from tidemill.cli.output import Columns, print_json, print_list, say
from tidemill.cli.session import connect

if TYPE_CHECKING:
    from schemas.model_views import AliasMoveView, AliasView

app = typer.Typer()

Reason = Annotated[str, typer.Option(help="Kept beside the move.")]


@app.command("promote")
def promote_version(
    context: typer.Context,
    reference: Reference,
    alias: Annotated[str, typer.Option(help="The alias that shall stand for the version.")] = "champion",
    reason: Reason = "by hand",
    as_json: Json = False,
) -> None:
    """Let an alias stand for a version; edges that serve the alias change over."""
    with connect(context) as client:
        name, version = number_of(client, reference)
        before = client.alias(name, alias)
        by = "tidemill model promote"
        moved = client.move_alias(name, alias, version, reason, by, before, new=before is None)
    _tell(name, moved, before, as_json=as_json)


@app.command("unalias")
def remove_alias(
    context: typer.Context, name: Name, alias: Alias = "champion", reason: Reason = "by hand", as_json: Json = False
) -> None:
    """Remove an alias that nothing follows; the version that it stands for stays."""
    with connect(context) as client:
        seen = client.alias(name, alias)
        if seen is None:
            raise NotFound(f"{name} has no alias {alias}")
        gone = client.remove_alias(name, alias, reason=reason, by="tidemill model unalias", seen=seen)
    if as_json:
        print_json(gone.model_dump(mode="json"))
    say(f"{alias} of {name} is removed; it stood for version {gone.version}")


@app.command("rollback")
def roll_back(
    context: typer.Context, name: Name, alias: Alias = "champion", reason: Reason = "by hand", as_json: Json = False
) -> None:
    """Move an alias back to what it stood for before; doing it twice goes back twice."""
    with connect(context) as client:
        seen = client.alias(parse(name)[0], alias)
        moved = client.roll_back(name, alias, reason=reason, by="tidemill model rollback", seen=seen)
    _tell(name, moved, seen, as_json=as_json)


@app.command("history")
def show_history(
    context: typer.Context,
    name: Name,
    alias: Annotated[str | None, typer.Option(help="Only this alias.")] = None,
    as_json: Json = False,
) -> None:
    """List every move of a model's aliases, newest first: from where to where, by whom or what, and why."""
    with connect(context) as client:
        moves = list(client.alias_history(name, alias))
    columns: Columns[AliasMoveView] = {
        "WHEN": lambda move: f"{move.at:%Y-%m-%d %H:%M:%S}",
        "ALIAS": lambda move: move.alias,
        "FROM": lambda move: move.previous,
        "TO": lambda move: "removed" if move.version is None else move.version,
        "BY": lambda move: move.by,
        "WHY": lambda move: move.reason if move.deploys else f"{move.reason} (waits for approval)",
    }
    print_list(moves, columns, as_json=as_json, empty=f"no alias of {name} was ever moved")


def _tell(name: str, moved: "AliasView", before: "AliasView | None", *, as_json: bool) -> None:
    if as_json:
        print_json(moved.model_dump(mode="json"))
    elif before is not None and before.revision == moved.revision:
        say(f"{moved.name} of {name} stands for version {moved.version} already")
    else:
        was = f" in place of {before.version}" if before else ""
        say(f"{moved.name} of {name} stands for version {moved.version}{was}")
