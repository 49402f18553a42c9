"""`tidemill deployment`: what edges shall run, whether they do, and how they are moved to it."""

from typing import TYPE_CHECKING, Annotated

import typer

from tidemill.cli.options import Json, Name
from tidemill.cli.output import Columns, ago, pairs, print_json, print_list, print_one, print_table, say
from tidemill.cli.session import connect

if TYPE_CHECKING:
    from schemas.deployment_views import DeployedView, DeploymentView, RolloutView

app = typer.Typer(help="See what edges shall run, whether they do, and move them to it.", no_args_is_help=True)

Reason = Annotated[str, typer.Option(help="Kept in the timeline.")]
Meant = Annotated[
    int | None, typer.Option("--rollout", help="The rollout that is meant; status 4 if another one came meanwhile.")
]


def _counted(deployment: "DeploymentView") -> str:
    states = [edge.state for edge in deployment.edges.values()]
    return ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states))) or "none"


def _rollout(deployment: "DeploymentView") -> str:
    rollout = deployment.rollout
    return f"{rollout.number} {rollout.state}" if rollout else deployment.waits


def _why(edge: "DeployedView") -> str:
    return f"{edge.state}: {edge.reason}" if edge.reason else edge.state


_COLUMNS: Columns["DeploymentView"] = {
    "NAME": lambda deployment: deployment.spec.name,
    "OF": lambda deployment: deployment.spec.pipeline or deployment.spec.model,
    "MODELS": lambda deployment: pairs(deployment.models),
    "ROLLOUT": _rollout,
    "EDGES": _counted,
}
_FIELDS: Columns["DeploymentView"] = {
    "name": lambda deployment: deployment.spec.name,
    "of": lambda deployment: deployment.spec.pipeline or deployment.spec.model,
    "stands for": lambda deployment: pairs(deployment.models),
    "waits for": lambda deployment: deployment.waits,
    "rollout": _rollout,
    "because": lambda deployment: deployment.rollout and deployment.rollout.cause,
    "and now": lambda deployment: deployment.rollout and deployment.rollout.reason,
}
_ROLLOUTS: Columns["RolloutView"] = {
    "ROLLOUT": lambda rollout: rollout.number,
    "STATE": lambda rollout: rollout.state,
    "BEGAN": lambda rollout: ago(rollout.created_at),
    "PIPELINE": lambda rollout: rollout.pipeline_version or "",
    "MODELS": lambda rollout: pairs(rollout.models),
    "BECAUSE": lambda rollout: rollout.cause,
    "REASON": lambda rollout: rollout.reason,
    "BY": lambda rollout: rollout.by,
}


@app.command("list")
def list_deployments(context: typer.Context, as_json: Json = False) -> None:
    """List every deployment, its newest rollout, and how far its edges are."""
    with connect(context) as client:
        deployments = client.deployments()
    print_list(deployments, _COLUMNS, as_json=as_json, empty="no deployment yet; write one and: tidemill apply -f FILE")


@app.command("show")
def show_deployment(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show a deployment and, for each edge, what it wants there and whether that is so."""
    with connect(context) as client:
        _show(client.deployment(name), as_json=as_json)


@app.command("history")
def show_history(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """List a deployment's rollouts, newest first."""
    with connect(context) as client:
        rollouts = client.rollouts(name)
    print_list(rollouts, _ROLLOUTS, as_json=as_json, empty=f"deployment {name} has had no rollout yet")


@app.command("approve")
def approve(
    context: typer.Context, name: Name, rollout: Meant = None, reason: Reason = "", as_json: Json = False
) -> None:
    """Let a rollout that waits for a person begin, or go on behind its canary."""
    with connect(context) as client:
        _show(client.order(name, "approve", reason, rollout=rollout), as_json=as_json)


@app.command("pause")
def pause(
    context: typer.Context, name: Name, rollout: Meant = None, reason: Reason = "", as_json: Json = False
) -> None:
    """Change no further edge until it is resumed."""
    with connect(context) as client:
        _show(client.order(name, "pause", reason, rollout=rollout), as_json=as_json)


@app.command("resume")
def resume(
    context: typer.Context, name: Name, rollout: Meant = None, reason: Reason = "", as_json: Json = False
) -> None:
    """Go on with a rollout that was paused."""
    with connect(context) as client:
        _show(client.order(name, "resume", reason, rollout=rollout), as_json=as_json)


@app.command("abort")
def abort(
    context: typer.Context, name: Name, rollout: Meant = None, reason: Reason = "", as_json: Json = False
) -> None:
    """Have all edges that were told of a rollout go back to what they had before."""
    with connect(context) as client:
        _show(client.order(name, "abort", reason, rollout=rollout), as_json=as_json)


@app.command("rollback")
def rollback(
    context: typer.Context,
    name: Name,
    to: Annotated[int | None, typer.Option(help="The rollout whose content to go back to; see history.")] = None,
    rollout: Meant = None,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Move all edges at once to what they had before; it stays until something else is promoted or applied."""
    with connect(context) as client:
        _show(client.order(name, "rollback", reason, to=to, rollout=rollout), as_json=as_json)


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


def _show(deployment: "DeploymentView", *, as_json: bool) -> None:
    print_one(deployment, _FIELDS, as_json=as_json)
    if deployment.edges and not as_json:
        heads = ("EDGE", "STATE", "ROLLOUT", "PIPELINE", "MODELS", "BEFORE", "SINCE")
        print_table(heads, [_row(name, edge) for name, edge in deployment.edges.items()])


def _row(name: str, edge: "DeployedView") -> list[object]:
    version = edge.pipeline_version or ""
    return [name, _why(edge), edge.rollout or "", version, pairs(edge.models), edge.previous or "", ago(edge.since)]
