"""`tidemill deployment`: what edges shall run, and whether they do."""

from typing import TYPE_CHECKING

import typer

from tidemill.cli.options import Json, Name
from tidemill.cli.output import Columns, pairs, print_json, print_list, say
from tidemill.cli.session import connect

if TYPE_CHECKING:
    from schemas.views import DeploymentView

app = typer.Typer(help="See what edges shall run, and whether they do; end it.", no_args_is_help=True)

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


@app.command("delete")
def delete_deployment(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Delete a deployment: its edges let go of what no other deployment wants there. Pipeline and model stay."""
    with connect(context) as client:
        undeployed = client.delete_deployment(name)
    if as_json:
        print_json(undeployed.model_dump(mode="json"))
        return
    edges = ", ".join(undeployed.edges)
    say(f"deployment {name} is deleted; " + (f"these edges let go of it: {edges}" if edges else "no edge had it alone"))
