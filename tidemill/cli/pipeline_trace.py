"""`tidemill pipeline trace`: what each node made of the last messages."""

from typing import TYPE_CHECKING, Annotated

import typer

from tidemill.cli.options import Json, Name
from tidemill.cli.output import ago, print_json, printable
from tidemill.cli.session import connect

if TYPE_CHECKING:
    from schemas.pipelines import NodeOutcome, Outcome

Last = Annotated[int, typer.Option(min=1, max=25, help="How many messages.")]
Edge = Annotated[str | None, typer.Option(help="The edge to ask; needed when the pipeline runs on several.")]


def trace_pipeline(
    context: typer.Context, name: Name, edge: Edge = None, last: Last = 1, as_json: Json = False
) -> None:
    """Show what each node made of the last messages, and how long that took."""
    with connect(context) as client:
        outcomes = client.outcomes(name, edge=edge, limit=last)
    if as_json:
        print_json([outcome.model_dump(mode="json") for outcome in outcomes])
        return
    if not outcomes:
        typer.echo("no message has gone through it since its worker began")
    for outcome in reversed(outcomes):
        _print(outcome)


def _print(outcome: "Outcome") -> None:
    typer.echo(printable(f"{ago(outcome.at)}, version {outcome.version}: {outcome.topic} {outcome.payload}"))
    width = max(len(node.node) for node in outcome.nodes)
    for node in outcome.nodes:
        typer.echo(printable(f"  {node.node:<{width}}  {_told(node, outcome)}"))


def _told(node: "NodeOutcome", outcome: "Outcome") -> str:
    if node.node == outcome.failed_at:
        return f"failed: {outcome.error}"
    if node.state != "done":
        return node.state
    return f"{node.duration_s * 1000:.3f} ms  {node.result}"
