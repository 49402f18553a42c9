"""`tidemill window`: when what edges hold and run may change."""

from typing import TYPE_CHECKING

import typer

from tidemill.cli.options import Json, Name
from tidemill.cli.output import Columns, ago, pairs, print_json, print_list, say
from tidemill.cli.session import connect

if TYPE_CHECKING:
    from schemas.deployment_views import MaintenanceWindowView

app = typer.Typer(help="See maintenance windows and delete them; apply makes them.", no_args_is_help=True)

_COLUMNS: Columns["MaintenanceWindowView"] = {
    "NAME": lambda window: window.spec.name,
    "STATE": lambda window: "open" if window.open else "closed",
    "CHANGES": lambda window: ago(window.changes_at),
    "OPENS": lambda window: f"{window.spec.opens} {window.spec.timezone}",
    "FOR": lambda window: f"{window.spec.lasts / 3600:g} h",
    "LABELS": lambda window: pairs(window.spec.labels),
    "EDGES": lambda window: ", ".join(window.edges),
}


@app.command("list")
def list_windows(context: typer.Context, as_json: Json = False) -> None:
    """List every maintenance window, whether it is open, and the edges that it is of."""
    with connect(context) as client:
        windows = client.windows()
    empty = "no maintenance window: edges may change at any time; write one and: tidemill apply -f FILE"
    print_list(windows, _COLUMNS, as_json=as_json, empty=empty)


@app.command("delete")
def delete_window(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Delete a maintenance window; what waited for it may go on at once."""
    with connect(context) as client:
        client.delete_window(name)
    if as_json:
        print_json({"name": name})
    else:
        say(f"maintenance window {name} is deleted")
