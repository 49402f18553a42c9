"""`tidemill deployment`: what edges shall run, and whether they do."""

from typing import TYPE_CHECKING

import typer

from tidemill.cli.options import Json
from tidemill.cli.output import Columns, pairs, print_list
from tidemill.cli.session import connect

if TYPE_CHECKING:
    from schemas.views import DeploymentView

app = typer.Typer(help="See what edges shall run, and whether they do.", no_args_is_help=True)

_COLUMNS: Columns["DeploymentView"] = {
    "NAME": lambda deployment: deployment.spec.name,
    "OF": lambda deployment: deployment.spec.pipeline or deployment.spec.model,
    "MODELS": lambda deployment: pairs(deployment.models),
    "EDGES": lambda deployment: "\n".join(f"{edge}: {state}" for edge, state in deployment.edges.items()),
}


@app.command("list")
def list_deployments(context: typer.Context, as_json: Json = False) -> None:
    """List every deployment and, for each edge, whether what it wishes is so."""
    with connect(context) as client:
        deployments = client.deployments()
    print_list(deployments, _COLUMNS, as_json=as_json, empty="no deployment yet; write one and: tidemill apply -f FILE")


@app.callback()
def deployment() -> None:
    """See what edges shall run, and whether they do."""
